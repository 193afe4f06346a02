"""What kind of file some bytes are, and whether the file is all there. Nothing is decoded here."""

from clip_har.kinds import ACCEPTED, Kind
from clip_har.limits import MediaError

_MAGIC = {
    b"\xff\xd8\xff": Kind.JPEG,
    b"\x89PNG\r\n\x1a\n": Kind.PNG,
    b"GIF87a": Kind.GIF,
    b"GIF89a": Kind.GIF,
    b"\x1a\x45\xdf\xa3": Kind.MATROSKA,
}
_RIFF = {b"WEBP": Kind.WEBP, b"AVI ": Kind.AVI}
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_BOXES = (*_FIRST_BOXES, b"moof", b"sidx", b"styp", b"mfra", b"uuid", b"meta", b"udta", b"emsg")
_SEGMENT = 0x18538067


def kind_of(data: bytes) -> Kind:
    """Tells a file's kind by its first bytes.

    Raises MediaError when the file is empty, is none of the accepted kinds, or ends before it says.
    """
    if not data:
        raise MediaError(f"The file is empty: 0 bytes. Send a {ACCEPTED} file.")
    kind = _sniffed(data)
    if kind is None:
        raise MediaError(
            f"Not a file that is read here: it begins with {data[:12]!r}. Send a {ACCEPTED} file."
        )
    if not _COMPLETE[kind](data):
        raise MediaError(
            "The file ends early: its own headers promise more than its "
            f"{len(data)} bytes. Send it again, whole."
        )
    return kind


def _sniffed(data: bytes) -> Kind | None:
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12])
    if data[4:8] in _FIRST_BOXES and data[8:12] not in _STILL_BRANDS:
        return Kind.MP4
    return None


def _jpeg_is_whole(data: bytes) -> bool:
    """A JPEG states no length; its decoder notices."""
    return True


def _riff_is_whole(data: bytes) -> bool:
    return len(data) >= 12 and 8 + int.from_bytes(data[4:8], "little") <= len(data)


def _png_is_whole(data: bytes) -> bool:
    at = 8
    while at + 12 <= len(data):
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += 12 + length
        if name == b"IEND":
            return at <= len(data)
    return False


def _gif_is_whole(data: bytes) -> bool:
    """Walks the blocks to the trailer."""
    try:
        at = 13 + _gif_palette(data[10])
        while data[at] != 0x3B:
            if data[at] == 0x2C:  # a picture: its header, a palette, the code size
                at += 11 + _gif_palette(data[at + 9])
            elif data[at] == 0x21:  # an extension
                at += 2
            else:  # damaged: the decoder will say so
                return True
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        return False
    return True


def _gif_palette(flags: int) -> int:
    return 3 << (flags % 8 + 1) if flags & 0x80 else 0


def _mp4_is_whole(data: bytes) -> bool:
    """Walks the outermost boxes; what follows an unknown one is nobody's promise."""
    at = 0
    while at + 8 <= len(data) and data[at + 4 : at + 8] in _BOXES:
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:  # 0: the rest of the file
            return True
        at += length
    return at <= len(data)


def _matroska_is_whole(data: bytes) -> bool:
    """Compares the length of the one segment; a live recording does not state it."""
    header, at = _ebml_size(data, 4)
    at += header or 0
    if int.from_bytes(data[at : at + 4], "big") != _SEGMENT:
        return at < len(data)
    length, at = _ebml_size(data, at + 4)
    return length is None or at + length <= len(data)


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """An element's size, None where it is left open, and the place after it."""
    if at >= len(data) or data[at] == 0:
        return None, at + 1
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else value, at + width


_COMPLETE = {
    Kind.JPEG: _jpeg_is_whole,
    Kind.PNG: _png_is_whole,
    Kind.WEBP: _riff_is_whole,
    Kind.GIF: _gif_is_whole,
    Kind.MP4: _mp4_is_whole,
    Kind.AVI: _riff_is_whole,
    Kind.MATROSKA: _matroska_is_whole,
}
