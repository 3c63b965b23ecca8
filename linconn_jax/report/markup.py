"""HTML of one page that needs nothing beside itself."""

import base64
import html
import re
from collections.abc import Iterable
from importlib import resources
from string import Template


def page(title: str, parts: Iterable[str]) -> str:
    """A page: its title, what it is about, and parts that are HTML."""
    around = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    return Template(around).substitute(title=html.escape(title), parts="\n".join(parts))


def figure(name: str, png: bytes, caption: str) -> str:
    """An image inside the page."""
    data = base64.b64encode(png).decode()
    image = f'<img alt="{name}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}{tag('figcaption', caption)}</figure>"


def figures(page: str) -> list[str]:
    """Names of the figures on a page."""
    return re.findall('<img alt="([^"]*)"', page)


def note(text: str) -> str:
    """A sentence that stands out."""
    return f'<p class="note">{html.escape(text)}.</p>'


def tag(name: str, text: str) -> str:
    """Plain text in a tag."""
    return f"<{name}>{html.escape(text)}</{name}>"
