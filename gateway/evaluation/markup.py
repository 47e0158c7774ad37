"""HTML that is built, not glued: every text and attribute is escaped by the standard library's ElementTree."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element, tostring

Child = Element | str | int | None
# Lists in lists, as deep as a page's code needs them.
Children = Child | Iterable[Child | Iterable[Child]]


def element(tag: str, *children: Children, **attributes: str | int | float | None) -> Element:
    """An element.

    Args:
        tag: its name.
        children: elements, texts, or several of them; None is left out.
        attributes: `class_` is written `class`, and `_` is written `-`; those that are None are left out.
    """
    made = Element(
        tag,
        {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items() if value is not None},
    )
    for child in _flat(children):
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + str(child)
        else:
            made.text = (made.text or "") + str(child)
    return made


def _flat(children: Iterable[Children]) -> Iterable[Element | str | int]:
    for child in children:
        if child is None:
            continue
        # An element can be iterated too, over its own children.
        if isinstance(child, Element | str | int):
            yield child
        else:
            yield from _flat(child)


def document(root: Element) -> str:
    """The page's text."""
    return "<!DOCTYPE html>\n" + tostring(root, encoding="unicode", method="html") + "\n"
