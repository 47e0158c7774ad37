"""Fingerprints of OpenPGP public keys.

Own code, because a bare instance has no Python library that reads keys, and not for certain GnuPG; and a fingerprint is
no more than the hash of one packet.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

PUBLIC_KEY = 6
BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"


def fingerprints(data: bytes) -> list[str]:
    """Return the fingerprints of all primary keys in a key file, armoured or not, as 40 hexadecimal digits in capitals.

    Source of the method: RFC 4880, sections 4.2 (packet headers), 6.2 (armour) and 12.2 (fingerprints of version 4).
    Raises ValueError when it is no file of public keys, or has a key that is not of version 4.
    """
    found = []
    for tag, body in _packets(_dearmour(data)):
        if tag != PUBLIC_KEY:
            continue
        if not body or body[0] != 4:
            raise ValueError("it holds a key that is not of OpenPGP's version 4")
        # The standard's choice; a pinned fingerprint needs resistance to second pre-images only, which SHA-1 still has.
        digest = hashlib.new("sha1", usedforsecurity=False)
        digest.update(b"\x99" + len(body).to_bytes(2, "big") + body)
        found.append(digest.hexdigest().upper())
    if not found:
        raise ValueError("it holds no OpenPGP public key")
    return found


def is_armoured(data: bytes) -> bool:
    """Say whether a key file is text, as `gpg --armor` writes it."""
    return BEGIN.encode() in data


def _dearmour(data: bytes) -> bytes:
    if not is_armoured(data):
        return data
    text = data.decode("ascii", errors="replace").replace("\r\n", "\n")
    blocks = []
    for block in text.split(BEGIN)[1:]:
        content, end, _ = block.partition(END)
        # Headers, an empty line, base64, and a checksum that begins with `=`.
        _, blank, body = content.partition("\n\n")
        lines = [line.strip() for line in body.splitlines()]
        try:
            blocks.append(base64.b64decode("".join(line for line in lines if not line.startswith("=")), validate=True))
        except binascii.Error as error:
            raise ValueError("its armour is broken") from error
        if not end or not blank:
            raise ValueError("its armour is cut off")
    return b"".join(blocks)


def _packets(data: bytes) -> list[tuple[int, bytes]]:
    """Return tag and body of each packet. Raises ValueError where the data is no sequence of whole packets."""
    packets, at = [], 0
    while at < len(data):
        header = data[at]
        if not header & 0x80:
            raise ValueError("it is no OpenPGP data")
        try:
            tag, length, start = _new_header(data, at) if header & 0x40 else _old_header(data, at)
        except IndexError as error:
            raise ValueError("it is cut off") from error
        if start + length > len(data):
            raise ValueError("it is cut off")
        packets.append((tag, data[start : start + length]))
        at = start + length
    return packets


def _new_header(data: bytes, at: int) -> tuple[int, int, int]:
    tag, first = data[at] & 0x3F, data[at + 1]
    if first < 192:
        return tag, first, at + 2
    if first < 224:
        return tag, ((first - 192) << 8) + data[at + 2] + 192, at + 3
    if first == 255:
        return tag, int.from_bytes(data[at + 2 : at + 6], "big"), at + 6
    raise ValueError("it is sent in parts, as no key is")


def _old_header(data: bytes, at: int) -> tuple[int, int, int]:
    tag, kind = (data[at] >> 2) & 0x0F, data[at] & 0x03
    if kind == 3:
        return tag, len(data) - at - 1, at + 1
    size = 1 << kind
    return tag, int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size
