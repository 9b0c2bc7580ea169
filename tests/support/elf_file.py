"""Small ELF files, made to measure: a loader, names needed, symbols, notes, sections.

They cannot be run; they are for whoever reads ELF files.
"""
import struct

DYN, EXEC = 3, 2
X86_64, I386, AARCH64, S390 = 62, 3, 183, 22
LOAD, DYNAMIC, INTERP, NOTE = 1, 2, 3, 4
NEEDED, HASH, STRTAB, SYMTAB, STRSZ, RPATH, RUNPATH, GNU_HASH = 1, 4, 5, 6, 10, 15, 29, 0x6FFFFEF5
BASE = 0x10000


def gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


class File:
    """`imports` and `exports` become dynamic symbols, behind a hash table of the kind asked for."""

    def __init__(self, *, bits=64, order="<", machine=X86_64, kind=DYN, interpreter=None, needed=(), run_path=None,
                 old_run_path=None, imports=(), exports=(), hashes="gnu", notes=(), sections=()):
        self.bits, self.order, self.machine, self.kind = bits, order, machine, kind
        self.interpreter, self.needed, self.imports, self.exports = interpreter, needed, imports, exports
        self.run_path, self.old_run_path = run_path, old_run_path
        self.hashes, self.notes, self.sections = hashes, notes, sections
        self.strings = b"\0"
        self.word = "Q" if bits == 64 else "I"

    def pack(self, form, *values):
        return struct.pack(self.order + form.replace("W", self.word), *values)

    def name(self, text: str) -> int:
        offset = len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def symbol(self, text: str, defined: bool) -> bytes:
        info, section = 0x12, 1 if defined else 0
        if self.bits == 64:
            return self.pack("IBBHQQ", self.name(text), info, 0, section, BASE if defined else 0, 0)
        return self.pack("IIIBBH", self.name(text), BASE if defined else 0, 0, info, 0, section)

    def hash_table(self, count: int) -> bytes:
        if self.hashes == "sysv":
            return self.pack("II", 1, count) + self.pack("I" * (1 + count), *([0] * (1 + count)))
        first = 1 + len(self.imports)
        table = self.pack("IIII", 1, first, 1, 6) + self.pack("W", 0)
        table += self.pack("I", first if self.exports else 0)
        for index, text in enumerate(self.exports):
            last = index + 1 == len(self.exports)
            table += self.pack("I", gnu_hash(text.encode()) & ~1 | last)
        return table

    def note(self, owner: str, kind: int, content: bytes) -> bytes:
        padded = (owner.encode() + b"\0").ljust((len(owner) + 4) // 4 * 4, b"\0")
        return self.pack("III", len(owner) + 1, len(content), kind) + padded + content.ljust((len(content) + 3) // 4 * 4, b"\0")

    def program(self, kind: int, offset: int, size: int) -> bytes:
        if self.bits == 64:
            return self.pack("IIQQQQQQ", kind, 5, offset, BASE + offset, BASE + offset, size, size, 8)
        return self.pack("IIIIIIII", kind, offset, BASE + offset, BASE + offset, size, size, 5, 4)

    def section(self, name: int, kind: int, offset: int, size: int) -> bytes:
        return self.pack("IIWWWWIIWW", name, kind, 0, 0, offset, size, 0, 0, 1, 0)

    def build(self) -> bytes:
        header_size, program_size = (64, 56) if self.bits == 64 else (52, 32)
        symbols = b"\0" * (24 if self.bits == 64 else 16)
        symbols += b"".join(self.symbol(text, False) for text in self.imports)
        symbols += b"".join(self.symbol(text, True) for text in self.exports)
        entries = [(NEEDED, self.name(text)) for text in self.needed]
        entries += [(RUNPATH, self.name(self.run_path))] if self.run_path else []
        entries += [(RPATH, self.name(self.old_run_path))] if self.old_run_path else []
        has_dynamic = bool(self.needed or self.imports or self.exports)
        table = self.hash_table(1 + len(self.imports) + len(self.exports))

        parts = {}
        body = b""
        start = header_size + 4 * program_size

        def put(key: str, content: bytes) -> None:
            nonlocal body
            body += b"\0" * (-len(body) % 8)
            parts[key] = (start + len(body), len(content))
            body += content

        put("interp", (self.interpreter or "").encode() + b"\0")
        put("notes", b"".join(self.note(*note) for note in self.notes))
        put("symbols", symbols)
        put("hash", table)
        put("strings", self.strings)
        dynamic = entries + [
            (HASH if self.hashes == "sysv" else GNU_HASH, BASE + parts["hash"][0]), (SYMTAB, BASE + parts["symbols"][0]),
            (STRTAB, BASE + parts["strings"][0]), (STRSZ, parts["strings"][1]), (0, 0),
        ]
        put("dynamic", b"".join(self.pack("WW", tag, value) for tag, value in dynamic))
        section_names = b"\0.shstrtab\0" + b"".join(text.encode() + b"\0" for text in self.sections)
        put("section_names", section_names)
        headers = self.section(0, 0, 0, 0) + self.section(1, 3, *parts["section_names"])
        headers += b"".join(
            self.section(section_names.index(b"\0" + text.encode() + b"\0") + 1, 1, start, 4) for text in self.sections
        )
        put("sections", headers)

        programs = self.program(LOAD, 0, start + len(body))
        programs += self.program(INTERP if self.interpreter else 0, *parts["interp"])
        programs += self.program(DYNAMIC if has_dynamic else 0, *parts["dynamic"])
        programs += self.program(NOTE if self.notes else 0, *parts["notes"])
        order = 1 if self.order == "<" else 2
        ident = b"\x7fELF" + bytes([2 if self.bits == 64 else 1, order, 1]) + b"\0" * 9
        header = ident + self.pack(
            "HHIWWWIHHHHHH", self.kind, self.machine, 1, 0, header_size, parts["sections"][0], 0, header_size,
            program_size, 4, 64 if self.bits == 64 else 40, 2 + len(self.sections), 1,
        )
        return header + programs + body
