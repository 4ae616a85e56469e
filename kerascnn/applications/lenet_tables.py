"""What LeNet-5's paper gives as data: which maps C3 sees, and the bitmaps of the digits."""

# Table I: the S2 maps that each C3 map sees. 60 of the 96 possible kernels, to break the symmetry
# between maps and to keep the number of connections in bounds.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Figure 3: each digit as a stylised 7×12 image, the target of the 84 units of F6; one hexadecimal
# pair is one row of seven pixels. Confusable characters have similar codes.
DIGIT_CODES = (
    "3e001c36636363361c000000",
    "0c1c3c0c0c0c0c0c0c3f0000",
    "3e003e6343061c30607f0000",
    "7f03060c1e030303633e0000",
    "3e00003333736363673f0303",
    "3e007f60603c1e03633e0000",
    "1e3060607e736363733e0000",
    "7f0303060c0c181818180000",
    "3e6363633e636363633e0000",
    "3e676363673f0303063c0000",
)
