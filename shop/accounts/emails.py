"""An email address as somebody typed it. Nothing is asked of the network."""


def normalized(typed: str) -> str | None:
    """The address as mail can reach it; none when it cannot."""
    # Its patterns take long to make, and a process begins without a first address.
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(typed, check_deliverability=False).normalized
    except EmailNotValidError:
        return None
