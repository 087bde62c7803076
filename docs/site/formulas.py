"""Formulas: LaTeX between dollar signs becomes MathML when the site is built.

`pymdownx.arithmatex` finds the formulas and leaves them as `\\(...\\)` and `\\[...\\]`. Browsers
draw MathML themselves, so that a page needs no script for it, and formulas print.
"""

import html
import re

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\(?P<open>[(\[])(?P<latex>.*?)\\[)\]]</(?P=tag)>',
    re.DOTALL,
)


def converted(page: str) -> str:
    """HTML with its formulas as MathML."""
    from latex2mathml.converter import convert

    def replace(match: re.Match[str]) -> str:
        display = "inline" if match["open"] == "(" else "block"
        latex = html.unescape(match["latex"]).strip()
        made = convert(latex, display=display)
        return f'<{match["tag"]} class="formula">{made}</{match["tag"]}>'

    return FORMULA.sub(replace, page)
