"""What stands in targets of a batch where there is nothing to learn or to judge."""

VOID = 255  # in a mask: a pixel of no class
ABSENT = -1  # label of a row of boxes in which there is none
