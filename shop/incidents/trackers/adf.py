"""The Atlassian Document Format, as much of it as tickets need.

What people and providers wrote stands in text nodes only, so that none of it can become markup.
"""

import json
from typing import Any

MOST_LETTERS = 30_000
"""Of a whole document: Jira takes 32,767."""

CODE_LETTERS = 8_000

Node = dict[str, Any]


def document(*blocks: Node) -> Node:
    """The blocks as a document, without the last ones where it would be too long."""
    kept: list[Node] = []
    length = 0
    for block in blocks:
        length += len(json.dumps(block, ensure_ascii=False))
        if length > MOST_LETTERS:
            break
        kept.append(block)
    return {"type": "doc", "version": 1, "content": kept}


def inline(words: str, *, mark: Node | None = None) -> Node:
    """A text node. It may not be empty."""
    node: Node = {"type": "text", "text": words or "–"}
    return {**node, "marks": [mark]} if mark else node


def heading(words: str) -> Node:
    """A heading of the third level."""
    return {"type": "heading", "attrs": {"level": 3}, "content": [inline(words)]}


def paragraph(words: str) -> Node:
    """A paragraph of plain text."""
    return {"type": "paragraph", "content": [inline(words)]}


def link(words: str, address: str) -> Node:
    """A paragraph that is a link."""
    mark = {"type": "link", "attrs": {"href": address}}
    return {"type": "paragraph", "content": [inline(words, mark=mark)]}


def fact(name: str, value: Any) -> Node:
    """A paragraph of a name and its value."""
    shown = inline(str(value), mark={"type": "code"})
    return {"type": "paragraph", "content": [inline(f"{name} "), shown]}


def bullets(items: list[Node]) -> Node:
    """A list of paragraphs."""
    listed = [{"type": "listItem", "content": [item]} for item in items]
    return {"type": "bulletList", "content": listed}


def code(words: str) -> Node:
    """A block of fixed-width text, cut at its end."""
    cut = words if len(words) <= CODE_LETTERS else words[:CODE_LETTERS] + "\n…"
    return {"type": "codeBlock", "content": [inline(cut)]}
