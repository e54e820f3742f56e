"""Goods that come back: asked for, decided, carried, checked, and made good by money or goods."""
