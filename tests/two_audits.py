"""What tests of the package's audits and of the independent scripts share."""


def accepts(check, rejection, content):
    """Whether the audit accepts the file, rather than raise its rejection."""
    try:
        check(content)
    except rejection:
        return False
    return True
