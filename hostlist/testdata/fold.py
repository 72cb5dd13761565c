#!/usr/bin/env python3
"""Writes fold.txt: lines of names, and under each what ClusterShell's nodeset -f
makes of them.

Run it in this folder, with nodeset installed: python3 fold.py > fold.txt
"""
import itertools
import random
import subprocess

random.seed(7)


def names(*patterns):
    """Expands a-b in braces, as in node{1-3}."""
    out = []
    for p in patterns:
        parts = [[p]] if "{" not in p else []
        for piece in p.split("{") if "{" in p else []:
            if "}" not in piece:
                parts.append([piece])
                continue
            rng, text = piece.split("}")
            choices = []
            for item in rng.split(","):
                lo, _, hi = item.partition("-")
                width = len(lo) if lo.startswith("0") else 0
                choices += [f"{n:0{width}d}" for n in range(int(lo), int(hi or lo) + 1)]
            parts += [choices, [text]]
        out += ["".join(c) for c in itertools.product(*parts)]
    return out


cases = [
    names("node1"), names("node{1-3}"), names("node{1-3,5}", "web{01-02}"), names("node"),
    names("a", "a0", "b", "b{0-2}", "c"), names("node{08-12}"), names("node{8-12}"), names("node{98-102}"),
    names("node{098-102}"), names("node2", "node01", "node001"), names("node{1-10}", "node{01-10}"),
    names("node{0-3}", "node{00-03}", "node{000-003}"), names("node{7-12}", "node{09-11}"),
    names("node{01-99}", "node100"), names("n1", "n01", "n10", "n010"), names("node0", "node00"),
    names("{1-5}"), names("{1-5}a"), names("1a2"), names("10.0.0.{1-20}"), names("10.0.{0-1}.{1-20}"),
    names("10.{0-1}.{0-1}.{1-3}"), names("192.168.1.{1,3,5,7}"), names("node{1-4}.example.com"),
    names("node{1-4}-ib", "node{2-5}"), names("rack{1-2}node{1-4}"), names("r{1-3}c{01-08}n{0-3}"),
    names("n1c01", "n1c02", "n2c01"), names("n{1-2}c{1-2}", "n3c1"), names("n{1-9}c1", "n5c{1-9}"),
    names("n{9-11}c{9-11}"), names("n2c1", "n10c2"), names("n2c1", "n10c2", "n1c10", "n1c9"),
    names("a{1-3}b{1-3}", "a{2-4}b{2-4}"), names("a{1-4}b{1-4}", "a{5-6}b{1-2}"), names("a1b1", "a1b1", "a1b2"),
    names("a1b1", "a2b2", "a3b3"), names("a{1-3}b1", "a1b{1-3}"), names("a1b2c3", "a1b2c4", "a1b3c3", "a1b3c4", "a2b2c3"),
    names("x{1-3}y{1-3}z{1-3}"), names("x{1-3}y{1-3}z{1-3}", "x4y1z1"), names("x1y1z{1-9}", "x1y{1-9}z1", "x{1-9}y1z1"),
    names("gpu-{001-003}-{1-2}", "gpu-004-1"), names("gpu{1-2}-a", "gpu{1-2}-b"), names("Node{1-2}", "node{1-2}"),
    names("node-{1-3}"), names("node--{1-3}"), names("node_{1-3}_x{4-5}_"), names("a.{1-2}.b.{1-2}.c"),
    names("web1", "db1", "app1"), names("web10", "web9", "web8", "web2"), names("é{1-3}"),
    names("n{1-3}", "n{5-7}", "n{9}", "n{11-12}"), names("n{2,4,6,8,10}"), names("m{1-2}n{2,4,6,8}"),
    names("s{1-20}p{1-48}"), names("s{1-20}p{1-48}", "s21p{1-24}", "t{1-3}"), names("a0b0", "a00b0", "a0b00", "a00b00"),
]
for _ in range(60):
    dims, most = random.randint(2, 4), random.randint(2, 12)
    verbs = [random.choice(["%d", "%02d"]) for _ in range(dims)]
    cases.append(["n" + "-".join(v % random.randint(0, most) for v in verbs) for _ in range(random.randint(3, 40))])

print("# names, and what nodeset 1.9.1 folds them to; written by fold.py")
for case in cases:
    out = subprocess.run(["nodeset", "-f"], input="\n".join(case) + "\n", capture_output=True, text=True, check=True)
    print(" ".join(case))
    print(out.stdout.strip())
