"""What delivery costs and how long it takes: zones with prices, live prices, and the estimate."""
