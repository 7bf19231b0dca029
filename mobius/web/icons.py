"""Our icons: paths on a grid of 16 by 16, drawn as lines in the colour of the text beside them."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

PATHS = {
    "alert": "M8 1.8 14.7 13.5H1.3zM8 6.2v3.3M8 11.6v.1",
    "arrow-left": "M13 8H3m4-4L3 8l4 4",
    "arrow-right": "M3 8h10M9 4l4 4-4 4",
    "audit": "M3 2h10v12H3zM5.5 5.5h5M5.5 8h5M5.5 10.5h3",
    "ban": "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM3.8 3.8l8.4 8.4",
    "callback": "M6.5 3 2.5 7l4 4M2.5 7h7a4 4 0 0 1 4 4v2",
    "check": "m3 8.5 3.2 3.2L13 5",
    "chevron": "m4 6 4 4 4-4",
    "circle": "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z",
    "clock": "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.6",
    "copy": "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
    "cross": "m4 4 8 8m0-8-8 8",
    "delivery": "M14 2 7.2 8.8M14 2l-4.4 12-2.4-5.2L2 6.4z",
    "external": "M6.5 3H3v10h10V9.5M9.5 2.5h4v4M13.2 2.8 7.5 8.5",
    "eye": "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6a2 2 0 1 0 0 4 2 2 0 0 0 0-4z",
    "home": "M2.5 7.5 8 2.7l5.5 4.8v6h-4v-4h-3v4h-4z",
    "info": "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.3v3.6M8 5.1v.1",
    "key": "M5.3 7.2a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4zM7.6 8.1 13.5 2.2M10.8 4.9l2.1 2.1",
    "loop": "M13.5 8A5.5 5.5 0 0 1 3.6 11.3M2.5 8a5.5 5.5 0 0 1 9.9-3.3M12.8 1.8v3.2H9.6M3.2 14.2V11h3.2",
    "members": "M6 2.8a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8zM1.5 13.5c0-2.6 2-4 4.5-4s4.5 1.4 4.5 4"
    "M10.8 3.2a2.2 2.2 0 0 1 0 4M12.3 9.9c1.4.5 2.2 1.7 2.2 3.6",
    "menu": "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
    "minus": "M3.5 8h9",
    "pause": "M5.5 3.5v9M10.5 3.5v9",
    "plug": "M5.5 2v3.5M10.5 2v3.5M3.5 5.5h9V8a4.5 4.5 0 0 1-9 0zM8 12.5v2",
    "plus": "M8 3v10M3 8h10",
    "question": "M5.6 5.8a2.4 2.4 0 1 1 3.5 2.1C8.3 8.4 8 8.8 8 9.6M8 12.3v.1",
    "run": "M4.5 2.8 13 8l-8.5 5.2z",
    "send": "M4 12 12 4M5.5 4H12v6.5",
    "skip": "M3 3.5 9 8l-6 4.5zM12.5 3.5v9",
    "spinner": "M8 2.5A5.5 5.5 0 1 1 2.5 8",
    "upload": "M8 10.5V2.8M4.8 6 8 2.8 11.2 6M2.5 10.5v3h11v-3",
    "user": "M8 2.3a2.7 2.7 0 1 0 0 5.4 2.7 2.7 0 0 0 0-5.4zM2.8 13.7c0-2.9 2.3-4.3 5.2-4.3s5.2 1.4 5.2 4.3",
}


def draw(name: str) -> SafeString:
    """The icon as inline SVG, hidden from screen readers: the word beside it speaks."""
    return format_html(
        '<svg class="icon icon-{}" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor"'
        ' stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{}"/></svg>',
        name,
        PATHS[name],
    )
