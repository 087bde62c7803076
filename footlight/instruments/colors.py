"""Colors of curves and panels."""

# Okabe and Ito's colors, which color-blind readers can tell apart, without their pale yellow
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
