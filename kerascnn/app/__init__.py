"""A page on this machine that shows what a run sees in a photo: `kerascnn app RUN`.

eye       `Eye`: from the bytes of a photo to what the run sees in it, and why.
server    the page over HTTP, for this machine's browsers alone.
page.html, page.css, page.js: the page.
"""
