"""Colors of curves and panels."""

# The color-blind safe palette of Okabe and Ito, without its pale yellow.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
