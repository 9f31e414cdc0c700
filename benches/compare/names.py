"""Grades two names of one number, as `crates/mingcha-engine/src/names.rs` does. The peers call this only for
names that differ; equal and absent names are decided in SQL. The table of variants is read out of the Rust
source, so that there is one table."""

import re
import unicodedata
from functools import cache
from pathlib import Path

import pyarrow as pa
from pypinyin.pinyin_dict import pinyin_dict

SOURCE = Path(__file__).parents[2] / "crates/mingcha-engine/src/names.rs"
TABLE = SOURCE.read_text(encoding="utf-8").split("const VARIANTS", 1)[1].split("];", 1)[0]
VARIANTS: dict[str, str] = {}
for _from, _to in re.findall(r"\('(.)', '(.)'\)", TABLE):
    VARIANTS.setdefault(_from, _to)
DOTS = set("·•‧・.。●∙⋅-'")
UNREADABLE = set("?*□■〓\ufffd")
NEWBORN = {"子", "女", "婴", "儿", "婴儿", "新生儿"}


@cache
def grade(a: str, b: str) -> str:
    """`I1`, `I2` or `I3`."""
    if a == b and a.strip():
        return "I1"
    a, b = normalise(a), normalise(b)
    if not a or not b:
        return "I2"
    if a == b:
        return "I1"
    if is_newborn(a) != is_newborn(b):
        return "I3"
    a = "".join(c for c in a if c not in DOTS)
    b = "".join(c for c in b if c not in DOTS)
    alike = not a or not b or same_shape(a, b) or truncated(a, b) or same_words(a, b)
    return "I2" if alike else "I3"


def normalise(name: str) -> str:
    """NFKC, no spaces, Latin in upper case."""
    plain = unicodedata.normalize("NFKC", name)
    return "".join(c for c in plain if not c.isspace() and not is_invisible(c)).upper()


def is_invisible(c: str) -> bool:
    """Zero-width characters."""
    return "\u200b" <= c <= "\u200f" or c in "\u2060\ufeff"


def is_newborn(name: str) -> bool:
    """`李秀兰之子`, `李秀兰之次女`."""
    mother, found, child = name.rpartition("之")
    return bool(found) and len(mother) >= 2 and child.lstrip("长次三四双大小胞幼") in NEWBORN


def fold(c: str) -> str:
    """The form by which a variant is compared."""
    return VARIANTS.get(c, c)


def is_unreadable(c: str) -> bool:
    """A character that some system could not store."""
    return c in UNREADABLE or "\ue000" <= c <= "\uf8ff" or "\U000f0000" <= c <= "\U0010fffd"


def homophones(x: str, y: str) -> bool:
    """Same syllable, same tone."""
    a, b = pinyin_dict.get(ord(x)), pinyin_dict.get(ord(y))
    return a is not None and b is not None and a.split(",")[0] == b.split(",")[0]


def same_shape(a: str, b: str) -> bool:
    """Same length, every pair alike, one pair equal."""
    pairs = list(zip(a, b))
    return (
        len(a) == len(b)
        and all(fold(x) == fold(y) or is_unreadable(x) or is_unreadable(y) or homophones(x, y) for x, y in pairs)
        and any(fold(x) == fold(y) for x, y in pairs)
    )


def truncated(a: str, b: str) -> bool:
    """One is the beginning of the other."""
    short, long = (a, b) if len(a) <= len(b) else (b, a)
    return len(short) < len(long) and all(fold(x) == fold(y) for x, y in zip(short, long))


def same_words(a: str, b: str) -> bool:
    """Two Latin words in another order."""
    if len(a) != len(b) or len(a) < 6 or not (a + b).isascii() or not (a + b).isalpha():
        return False
    return any(a[k:] + a[:k] == b for k in range(1, len(a)))


def grades(a: pa.Array, b: pa.Array) -> pa.Array:
    """The grades of two columns."""
    return pa.array([grade(x or "", y or "") for x, y in zip(a.to_pylist(), b.to_pylist())], type=pa.string())
