"""Times as people read them."""


def clock(seconds: float, longest: float) -> str:
    """A time with as much as the longest one needs: 4.5 s, 1:05, 1:02:05."""
    if longest < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if longest >= 3600 else f"{minutes}:{rest:02}"


def exact_clock(seconds: float) -> str:
    """A time to the tenth of a second: 0:04.5, 1:02:05.0."""
    tenths = round(10 * seconds)
    hours, minutes = tenths // 36000, tenths // 600 % 60
    rest = f"{tenths // 10 % 60:02}.{tenths % 10}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"
