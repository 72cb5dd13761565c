#!/usr/bin/env python3
"""Writes cases.json: formats, arguments and what Python's % makes of them.

Run it in this folder: python3 cases.py > cases.json

Each case is [format, arguments, want]: arguments are a list of [type, text] pairs
or a dict of them; want is the text or ["error", kind, index].
"""
import itertools
import json
import re


def pack(v):
    if v is None:
        return ["nil", ""]
    if isinstance(v, bool):
        return ["bool", str(v).lower()]
    if isinstance(v, int):
        return ["int", str(v)]
    if isinstance(v, float):
        return ["float", repr(v)]
    if isinstance(v, str):
        return ["str", v]
    if isinstance(v, bytes):
        return ["bytes", v.decode("latin-1")]
    if isinstance(v, list):
        return ["list", [pack(x) for x in v]]
    if isinstance(v, dict):
        return ["dict", {k: pack(x) for k, x in v.items()}]
    raise TypeError(type(v))


KINDS = [
    ("not enough arguments", "few"),
    ("not all arguments converted", "many"),
    ("format requires a mapping", "key"),
    ("unsupported format character", "format"),
    ("incomplete format", "format"),
    ("too big", "format"),
    ("* wants int", "type"),
    ("required, not", "type"),
    ("must be real number", "type"),
    ("%c requires", "type"),
    ("%c arg not in range", "type"),
    ("cannot convert float", "type"),
    ("too large to convert", "type"),
]


def result(fmt, args):
    try:
        return fmt % (args if isinstance(args, dict) else tuple(args))
    except KeyError:
        return ["error", "key", -1]
    except (TypeError, ValueError, OverflowError) as e:
        for text, kind in KINDS:
            if text in str(e):
                at = re.search(r"at index (\d+)", str(e))
                return ["error", kind, int(at[1]) if at else -1]
        raise


cases = []


def add(fmt, *args):
    cases.append([fmt, [pack(a) for a in args], result(fmt, args)])


def add_named(fmt, **names):
    cases.append([fmt, {k: pack(v) for k, v in names.items()}, result(fmt, names)])


ints = [0, 1, -1, 42, -42, 255, 2**31, -(2**63), 2**64 - 1, 10**30, True, False]
floats = [0.0, -0.0, 1.0, -1.0, 0.1, 3.14159265, -2.5, 2.5, 1e-4, 9.9999e-5, 1e15, 1e16, 1.5e16,
          123456.0, 1234567.0, 1e100, -1e-100, 5e-324, 1.7976931348623157e308, 100000.0, 999999.5,
          float("inf"), float("-inf"), float("nan")]
texts = ["", "a", "hello", "it's", 'say "x"', "'\"", "ä€😀", "a\tb\nc\rd\\", "\x00\x7f\x1b", "\u00a0\u200b\u2028\ufeff", "5"]

flags = ["", "-", "+", " ", "#", "0", "-0", " 0", "+ ", "#+0"]
sizes = ["", "8", ".0", ".3", ".", "12.3", "3.10"]

for f, z in itertools.product(flags, sizes):
    for verb in "doxX":
        for n in [0, 42, -255, 2**64 - 1]:
            add("<%" + f + z + verb + ">", n)
    for verb in "efg":
        for x in [0.0, -2.5, 1234567.0, 1e-7]:
            add("<%" + f + z + verb + ">", x)
    add("<%" + f + z + "g>", float("-inf"))
    add("<%" + f + z + "F>", float("nan"))
    add("<%" + f + z + "s>", "€😀xy")
    add("<%" + f + z + "r>", "it's")
    add("<%" + f + z + "a>", "ä€😀")
    add("<%" + f + z + "c>", "x")
    add("<%" + f + z + "%>", 1)

for n in ints:
    add("%d|%i|%u|%o|%x|%X|%#o|%#x|%#X|%f|%e|%G", *[n] * 12)
for v in ints + floats + texts + [None, [], [1, "a", None], [[1.0], {"a": [True], "b": 2}], {}, {"k": "v's"}]:
    for verb in "sra":
        add("%" + verb, v)
for v in [b"", b"plain", b"it's", b"'\"", b"\x00\xff\n\\"]:
    add("%r", v)
    add("%a", v)
for x in floats:
    add("%f|%F|%e|%g|%G|%.17g|%#g|%#.0f|%#.0e", *[x] * 9)
    add("%d", x)
    add("%x", x)
for x in [1.9, -1.9, 1e20, 0.5]:
    add("%d %i %u", x, x, x)

# the seed's examples and the like
add("hostname -s %s", "x")
add("%s and %s", "a", "b")
add("%05.2f|%x|%r|%d%%", 3.14159, 255, "q", 50)
add_named("echo %(a)s %(b)05d %(a)r", a="x", b=7, unused=1)
add_named("%(a(b)c)s|%()s|%(x y)-4s|", **{"a(b)c": 1, "": 2, "x y": 3})
add_named("%(a)%", a=1)
add_named("no names", a=1)
add_named("%(b)s", a=1)
add_named("%(a)d", a="x")
add_named("%(a", a=1)
add_named("%(a(b)s", a=1)
add_named("%(a)", a=1)
add_named("%(a)y", a=1)
add("%(a)s", 1)

# stars
for w, p in itertools.product([0, 5, -5, 12], [0, 2, -2, 7]):
    add("<%*d>", w, 42)
    add("<%.*f>", p, 2.5)
    add("<%*.*f>", w, p, -2.5)
    add("<%0*.*s>", w, p, "hello")
add("%*d", "5", 1)
add("%*d", 5.0, 1)
add("%*d", None, 1)
add("%*d", True, 1)
add("%*d", 5)
add("%.*d", 5)
add("%*", 5)

# length modifiers: one is read
for m in ["h", "l", "L", "hh", "ll"]:
    add("%" + m + "d", 1)
    add("%5" + m + "s", "x")

# what is wrong
for fmt in ["%", "%5", "%5.", "%.", "%-", "%l", "abc%", "%y", "ab%5.2y", "%!", "%\n", "%5(a)s", "%.-3d", "% %", "%é", "é%y", "%s%", "%zd", "%99999999999999999999d"]:
    add(fmt, 1)
for fmt, args in [("%s", ()), ("%s %s", ("a",)), ("", ("a",)), ("%%", ("a",)), ("%s", ("a", "b")), ("50%", ()), ("50% of", ()), ("50% done", (1,))]:
    add(fmt, *args)
for verb in "diuoxXeEfFgGc":
    for v in ["x", "xy", "", None, b"x", [1], 1.5]:
        if verb != "c" or v != b"x":  # text, in Go
            add("%" + verb, v)
add("%f", 10**400)
for n in [0, 65, 0x10FFFF, 0x110000, -1, 2**40]:
    add("%c", n)

print("[")
print(",\n".join(json.dumps(c, ensure_ascii=True, separators=(",", ":")) for c in cases))
print("]")
