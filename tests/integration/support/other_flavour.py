"""libcurl's OpenSSL flavour where a program asks for the GnuTLS flavour, as Debian's git does: a copy under the name
and with the symbol version that such a program wants. Both flavours have the same functions."""

import pathlib
import struct

HAS, WANTED = b"CURL_OPENSSL_4", b"CURL_GNUTLS_3"
SECTION_VERDEF = 0x6FFFFFFD


def elf_hash(name: bytes) -> int:
    """As the System V ABI has it."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF0000000
        value = (value ^ high >> 24) & ~high
    return value


def sections(data: bytes) -> list[tuple]:
    """Type, offset, size, link of each."""
    first, = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    found = []
    for number in range(count):
        fields = struct.unpack_from("<IIQQQQIIQQ", data, first + number * size)
        found.append((fields[1], fields[4], fields[5], fields[6]))
    return found


def make(openssl: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes libcurl-gnutls.so.4 into the folder."""
    data = bytearray(openssl.read_bytes())
    all_sections = sections(data)
    [(_, offset, _, link)] = [section for section in all_sections if section[0] == SECTION_VERDEF]
    strings = all_sections[link][1]
    renamed = 0
    while True:
        _, _, _, _, _, names, following = struct.unpack_from("<HHHHIII", data, offset)
        name, = struct.unpack_from("<I", data, offset + names)
        if data[strings + name:strings + name + len(HAS) + 1] == HAS + b"\0":
            data[strings + name:strings + name + len(HAS)] = WANTED + b"\0"
            struct.pack_into("<I", data, offset + 8, elf_hash(WANTED))
            renamed += 1
        if following == 0:
            break
        offset += following
    assert renamed == 1, f"{openssl} has no version {HAS.decode()}"
    (folder / "libcurl-gnutls.so.4").write_bytes(data)
