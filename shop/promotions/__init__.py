"""Promotions: gift cards."""
