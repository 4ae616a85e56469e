"""What makes a page unreadable: texts that overlap, or that leave the page."""


def overlapping(figure):
    """Pairs of texts whose boxes overlap by more than a hair."""
    boxes = list(_boxes(figure))
    return [
        (one, other)
        for place, (one, a) in enumerate(boxes)
        for other, b in boxes[place + 1 :]
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 2 and min(a.y1, b.y1) - max(a.y0, b.y0) > 2
    ]


def cut_off(figure):
    """Texts that are not wholly on the page."""
    width, height = figure.get_size_inches() * figure.dpi
    return [
        text
        for text, box in _boxes(figure)
        if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height
    ]


def _boxes(figure):
    figure.draw_without_rendering()
    for axes in figure.axes:
        for text in axes.texts:
            if text.get_text().strip():
                yield text.get_text(), text.get_window_extent()
