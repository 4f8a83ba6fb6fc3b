"""Small real functions with an incomplete suite that is visible and a thorough one that is hidden.

What a textbook or an interview asks for: number theory, searching, strings, intervals, dates. The visible suite of a
function is the handful of examples that its author would put into the docstring; the hidden suite adds edge cases and
inputs drawn from a fixed seed. Functions take and return immutable values only, do not recurse, import nothing and
iterate over no set, so that a spoilt copy of one can be run in the same process (``program_mutants``).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SMALL_PROGRAMS", "SmallProgram"]

_GENERATED = 30


@dataclass(frozen=True)
class SmallProgram:
    """A function, its visible inputs, and what its hidden inputs are: edge cases and a generator of more."""

    function: Callable[..., Any]
    visible: tuple[tuple, ...]
    edges: tuple[tuple, ...]
    draw: Callable[[random.Random], tuple]

    @property
    def name(self) -> str:
        return self.function.__name__

    def hidden(self) -> tuple[tuple, ...]:
        """Edge cases and generated inputs; with the visible ones they decide what counts as correct."""
        # Seeded by text, which Python hashes in the same way in every process.
        rng = random.Random(self.name)
        return (*self.edges, *(self.draw(rng) for _ in range(_GENERATED)))


def gcd(a, b):
    while b != 0:
        a, b = b, a % b
    return a


def binary_search(items, x):
    low, high = 0, len(items) - 1
    while low <= high:
        middle = (low + high) // 2
        if items[middle] == x:
            return middle
        if items[middle] < x:
            low = middle + 1
        else:
            high = middle - 1
    return -1


def to_roman(n):
    values = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
    names = ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I")
    text = ""
    for i in range(len(values)):
        while n >= values[i]:
            text += names[i]
            n -= values[i]
    return text


def from_roman(text):
    worth = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
    total = 0
    previous = 0
    for letter in reversed(text):
        value = worth[letter]
        if value < previous:
            total -= value
        else:
            total += value
            previous = value
    return total


def run_length_encode(text):
    runs = ()
    i = 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == text[i]:
            j += 1
        runs += ((text[i], j - i),)
        i = j
    return runs


def run_length_decode(text):
    out = ""
    count = 0
    for letter in text:
        if letter >= "0" and letter <= "9":
            count = count * 10 + int(letter)
        else:
            for _ in range(max(count, 1)):
                out += letter
            count = 0
    return out


def is_balanced(text):
    opening = {")": "(", "]": "[", "}": "{"}
    stack = ()
    for letter in text:
        if letter in "([{":
            stack += (letter,)
        elif letter in opening:
            if len(stack) == 0 or stack[-1] != opening[letter]:
                return False
            stack = stack[:-1]
    return len(stack) == 0


def merge_intervals(intervals):
    merged = ()
    for low, high in sorted(intervals):
        if len(merged) > 0 and low <= merged[-1][1]:
            merged = (*merged[:-1], (merged[-1][0], max(merged[-1][1], high)))
        else:
            merged += ((low, high),)
    return merged


def is_valid_date(year, month, day):
    if year < 1 or month < 1 or month > 12 or day < 1:
        return False
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return day <= (29 if leap else 28)
    if month == 4 or month == 6 or month == 9 or month == 11:
        return day <= 30
    return day <= 31


def edit_distance(a, b):
    previous = tuple(range(len(b) + 1))
    for i in range(1, len(a) + 1):
        row = (i,)
        for j in range(1, len(b) + 1):
            cost = 0 if a[i - 1] == b[j - 1] else 1
            row += (min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost),)
        previous = row
    return previous[-1]


def is_prime(n):
    if n < 2:
        return False
    if n % 2 == 0:
        return n == 2
    d = 3
    while d * d <= n:
        if n % d == 0:
            return False
        d += 2
    return True


def to_base(n, base):
    if n == 0:
        return (0,)
    digits = ()
    negative = n < 0
    n = abs(n)
    while n > 0:
        digits = (n % base, *digits)
        n //= base
    if negative:
        return (-1, *digits)
    return digits


def double_median(items):
    ordered = sorted(items)
    n = len(ordered)
    if n == 0:
        return None
    if n % 2 == 1:
        return 2 * ordered[n // 2]
    return ordered[n // 2 - 1] + ordered[n // 2]


def longest_increasing_run(items):
    best = 0
    current = 0
    for i in range(len(items)):
        if i > 0 and items[i] > items[i - 1]:
            current += 1
        else:
            current = 1
        best = max(best, current)
    return best


def largest_subarray_sum(items):
    best = items[0]
    ending = items[0]
    for x in items[1:]:
        ending = max(x, ending + x)
        best = max(best, ending)
    return best


def rotate(items, k):
    n = len(items)
    if n == 0:
        return items
    k = k % n
    return items[n - k :] + items[: n - k]


def is_palindrome(text):
    i, j = 0, len(text) - 1
    while i < j:
        if not text[i].isalnum():
            i += 1
        elif not text[j].isalnum():
            j -= 1
        elif text[i].lower() != text[j].lower():
            return False
        else:
            i += 1
            j -= 1
    return True


def caesar(text, k):
    out = ""
    for letter in text:
        if letter >= "a" and letter <= "z":
            out += chr((ord(letter) - 97 + k) % 26 + 97)
        elif letter >= "A" and letter <= "Z":
            out += chr((ord(letter) - 65 + k) % 26 + 65)
        else:
            out += letter
    return out


def count_inversions(items):
    count = 0
    for i in range(len(items)):
        for j in range(i + 1, len(items)):
            if items[i] > items[j]:
                count += 1
    return count


def luhn_valid(digits):
    total = 0
    for i in range(len(digits)):
        d = digits[len(digits) - 1 - i]
        if i % 2 == 1:
            d *= 2
            if d > 9:
                d -= 9
        total += d
    return len(digits) > 1 and total % 10 == 0


def triangle_kind(a, b, c):
    if a <= 0 or b <= 0 or c <= 0:
        return "none"
    if a + b <= c or a + c <= b or b + c <= a:
        return "none"
    if a == b and b == c:
        return "equilateral"
    if a == b or b == c or c == a:
        return "isosceles"
    return "scalene"


def weekday(year, month, day):
    if month < 3:
        month += 12
        year -= 1
    return (day + 13 * (month + 1) // 5 + year + year // 4 - year // 100 + year // 400 + 5) % 7


def integer_sqrt(n):
    low, high = 0, n + 1
    while high - low > 1:
        middle = (low + high) // 2
        if middle * middle <= n:
            low = middle
        else:
            high = middle
    return low


def pascal_row(n):
    row = (1,)
    for _ in range(n):
        inner = ()
        for i in range(len(row) - 1):
            inner += (row[i] + row[i + 1],)
        row = (1, *inner, 1)
    return row


def insert_sorted(items, x):
    i = 0
    while i < len(items) and items[i] <= x:
        i += 1
    return (*items[:i], x, *items[i:])


def common_prefix(words):
    if len(words) == 0:
        return ""
    prefix = words[0]
    for word in words[1:]:
        n = 0
        while n < len(prefix) and n < len(word) and prefix[n] == word[n]:
            n += 1
        prefix = prefix[:n]
    return prefix


def second_largest(items):
    first = None
    second = None
    for x in items:
        if first is None or x > first:
            second = first
            first = x
        elif x != first and (second is None or x > second):
            second = x
    return second


def clock_angle(hours, minutes):
    hand = (60 * (hours % 12) + minutes) % 720
    difference = abs(hand - 12 * minutes)
    return min(difference, 720 - difference)


def spiral(rows):
    out = ()
    top, bottom, left, right = 0, len(rows) - 1, 0, len(rows[0]) - 1
    while top <= bottom and left <= right:
        for j in range(left, right + 1):
            out += (rows[top][j],)
        for i in range(top + 1, bottom + 1):
            out += (rows[i][right],)
        if top < bottom and left < right:
            for j in range(right - 1, left - 1, -1):
                out += (rows[bottom][j],)
            for i in range(bottom - 1, top, -1):
                out += (rows[i][left],)
        top, bottom, left, right = top + 1, bottom - 1, left + 1, right - 1
    return out


def change(amount, coins):
    fewest = (0,)
    for target in range(1, amount + 1):
        best = -1
        for coin in coins:
            if coin <= target and fewest[target - coin] >= 0:
                count = fewest[target - coin] + 1
                if best < 0 or count < best:
                    best = count
        fewest += (best,)
    return fewest[amount]


def _ints(low: int, high: int, shortest: int, longest: int) -> Callable[[random.Random], tuple[int, ...]]:
    return lambda rng: tuple(rng.randint(low, high) for _ in range(rng.randint(shortest, longest)))


def _text(alphabet: str, shortest: int, longest: int) -> Callable[[random.Random], str]:
    return lambda rng: "".join(rng.choice(alphabet) for _ in range(rng.randint(shortest, longest)))


def _alone(draw: Callable[[random.Random], Any]) -> Callable[[random.Random], tuple]:
    return lambda rng: (draw(rng),)


def _numbers(*ranges: tuple[int, int]) -> Callable[[random.Random], tuple]:
    return lambda rng: tuple(rng.randint(low, high) for low, high in ranges)


def _searched(rng: random.Random) -> tuple:
    items = tuple(sorted({rng.randint(-20, 20) for _ in range(rng.randint(0, 12))}))
    return items, rng.choice((*items, rng.randint(-22, 22)))


def _intervals(rng: random.Random) -> tuple:
    starts = [rng.randint(-10, 20) for _ in range(rng.randint(0, 6))]
    return (tuple((start, start + rng.randint(0, 8)) for start in starts),)


def _date(rng: random.Random) -> tuple:
    year = rng.choice((1600, 1700, 1900, 2000, 2023, 2024, 2100, rng.randint(1, 3000)))
    return year, rng.randint(0, 13), rng.choice((0, 1, 28, 29, 30, 31, 32, rng.randint(1, 31)))


def _real_date(rng: random.Random) -> tuple:
    return rng.randint(1583, 2400), rng.randint(1, 12), rng.randint(1, 28)


def _rows(rng: random.Random) -> tuple:
    height, width = rng.randint(1, 5), rng.randint(1, 5)
    return (tuple(tuple(10 * i + j for j in range(width)) for i in range(height)),)


def _words(rng: random.Random) -> tuple:
    stem = "".join(rng.choice("ab") for _ in range(rng.randint(0, 4)))
    return (
        tuple(stem + "".join(rng.choice("ab") for _ in range(rng.randint(0, 3))) for _ in range(rng.randint(0, 4))),
    )


def _all(function: Callable, values: Sequence) -> tuple[tuple, ...]:
    return tuple((function(value),) for value in values)


SMALL_PROGRAMS = (
    SmallProgram(gcd, ((12, 18), (7, 5)), ((0, 5), (5, 0), (0, 0), (9, 9), (1, 100)), _numbers((0, 99), (0, 99))),
    SmallProgram(
        binary_search, (((1, 3, 5, 7), 5), ((1, 3, 5, 7), 4)), (((), 1), ((2,), 2), ((2,), 3), ((1, 2), 2)), _searched
    ),
    SmallProgram(to_roman, ((3,), (14,), (2024,)), ((4,), (9,), (40,), (90,), (444,), (3999,)), _numbers((1, 3999))),
    SmallProgram(
        from_roman, (("III",), ("XIV",), ("MMXXIV",)), (("",), ("IV",), ("CDXLIV",), ("MCMXC",)),
        lambda rng: (to_roman(rng.randint(1, 3999)),),
    ),
    SmallProgram(run_length_encode, (("aabc",), ("",)), (("a",), ("aaa",), ("abba",)), _alone(_text("ab", 0, 9))),
    SmallProgram(
        run_length_decode, (("2a3b",), ("c",)), (("",), ("10a",), ("0a",), ("a2",)), _alone(_text("a1b2", 0, 6))
    ),
    SmallProgram(
        is_balanced, (("(a[b])",), ("(]",)), (("",), (")",), ("((",), ("([)]",), ("{}{",)), _alone(_text("()[]x", 0, 6))
    ),
    SmallProgram(
        merge_intervals, ((((1, 3), (2, 5), (8, 9)),),),
        (((),), (((1, 2), (2, 3)),), (((1, 9), (2, 3)),), (((5, 6), (1, 2)),), (((1, 2), (3, 4)),)), _intervals,
    ),
    SmallProgram(
        is_valid_date, ((2024, 2, 29), (2023, 2, 29), (2023, 4, 31), (2023, 13, 1)),
        ((1900, 2, 29), (2000, 2, 29), (2023, 6, 31), (2023, 9, 31), (2023, 11, 31), (2023, 12, 31), (0, 1, 1)), _date,
    ),
    SmallProgram(
        edit_distance, (("kitten", "sitting"), ("abc", "abc")), (("", ""), ("", "ab"), ("a", ""), ("ab", "ba")),
        lambda rng: (_text("ab", 0, 5)(rng), _text("abc", 0, 5)(rng)),
    ),
    SmallProgram(is_prime, ((2,), (9,), (13,)), _all(int, (-3, 0, 1, 3, 4, 25, 49, 121)), _numbers((0, 400))),
    SmallProgram(to_base, ((10, 2), (255, 16)), ((0, 2), (-5, 3), (1, 2), (7, 7)), _numbers((-300, 300), (2, 16))),
    SmallProgram(
        double_median, (((3, 1, 2),), ((4, 1, 2, 3),)), (((),), ((5,),), ((1, 2),)), _alone(_ints(-9, 9, 0, 8))
    ),
    SmallProgram(
        longest_increasing_run, (((1, 2, 0, 1, 2, 3),), ((),)), (((5,),), ((2, 2),), ((3, 2, 1),)),
        _alone(_ints(0, 6, 0, 9)),
    ),
    SmallProgram(
        largest_subarray_sum, (((1, -2, 3, 4),),), (((-3,),), ((-3, -1),), ((2, -1, 2),)), _alone(_ints(-9, 9, 1, 8))
    ),
    SmallProgram(
        rotate, (((1, 2, 3, 4), 1),), (((), 3), ((1, 2, 3), 0), ((1, 2, 3), 7), ((1, 2, 3), -1)),
        lambda rng: (_ints(0, 9, 0, 6)(rng), rng.randint(-9, 9)),
    ),
    SmallProgram(
        is_palindrome, (("Racecar",), ("hello",)), (("",), ("a!",), ("A man, a plan",), ("ab, a",), ("0P",)),
        _alone(_text("aAb, ", 0, 6)),
    ),
    SmallProgram(
        caesar, (("abc", 1), ("Hello", 3)), (("xyz", 3), ("XYZ!", 3), ("az AZ", 0), ("a", -1), ("m", 52)),
        lambda rng: (_text("azAZm {[", 0, 6)(rng), rng.randint(-30, 30)),
    ),
    SmallProgram(
        count_inversions, (((3, 1, 2),), ((1, 2, 3),)), (((),), ((2, 2),), ((3, 2, 1),)), _alone(_ints(0, 6, 0, 7))
    ),
    SmallProgram(
        luhn_valid, (((7, 9, 9, 2, 7, 3, 9, 8, 7, 1, 3),), ((1, 2),)),
        (((0,),), ((0, 0),), ((1, 8),), ((),), ((5, 9),)), _alone(_ints(0, 9, 1, 4)),
    ),
    SmallProgram(
        triangle_kind, ((3, 4, 5), (2, 2, 3), (1, 1, 1), (1, 2, 9)),
        ((0, 0, 0), (1, 2, 3), (3, 1, 2), (2, 3, 1), (3, 2, 2), (2, 3, 2), (9, 1, 2), (1, 9, 2), (-1, 1, 1)),
        _numbers((0, 5), (0, 5), (0, 5)),
    ),
    SmallProgram(weekday, ((2024, 3, 1), (1999, 12, 31)), ((2000, 1, 1), (1900, 2, 28), (2100, 3, 1)), _real_date),
    SmallProgram(integer_sqrt, ((9,), (10,)), _all(int, (0, 1, 2, 3, 4, 15, 16, 17, 624, 625)), _numbers((0, 900))),
    SmallProgram(pascal_row, ((2,), (4,)), ((0,), (1,), (7,)), _numbers((0, 9))),
    SmallProgram(
        insert_sorted, (((1, 3, 5), 4),), (((), 1), ((2,), 1), ((2,), 2), ((1, 3), 9)),
        lambda rng: (tuple(sorted(_ints(0, 9, 0, 6)(rng))), rng.randint(-1, 10)),
    ),
    SmallProgram(
        common_prefix, ((("flow", "flower", "flight"),), (("a", "b"),)),
        (((),), (("x",),), (("", "a"),), (("aa", "a"),)), _words,
    ),
    SmallProgram(
        second_largest, (((3, 1, 2),), ((5, 5, 4),)), (((),), ((1,),), ((2, 2),), ((1, 2),), ((2, 1, 1),)),
        _alone(_ints(-3, 4, 0, 6)),
    ),
    SmallProgram(
        clock_angle, ((3, 0), (6, 0)), ((0, 0), (12, 0), (9, 0), (1, 59), (23, 59)), _numbers((0, 23), (0, 59))
    ),
    SmallProgram(
        spiral, ((((1, 2), (3, 4)),),), ((((1,),),), (((1, 2, 3),),), (((1,), (2,), (3,)),)), _rows
    ),
    SmallProgram(
        change, ((6, (1, 3, 4)), (3, (2,))), ((0, (2,)), (1, (1,)), (7, (5, 2)), (8, (5, 4))),
        lambda rng: (rng.randint(0, 14), tuple(sorted(rng.sample(range(1, 8), rng.randint(1, 3))))),
    ),
)  # fmt: skip
