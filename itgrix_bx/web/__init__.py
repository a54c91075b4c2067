"""The HTTP side: health now; the portal's events and the panel come later."""
