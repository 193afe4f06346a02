"""What the command line tells its user without a traceback."""


class ServerError(Exception):
    """The machine, the installation or the server cannot do it; the text says what to do.

    Mistakes in what the user typed are ValueError.
    """
