#!/usr/bin/env python3
"""Writes sets.txt: arguments of ClusterShell's nodeset, and under each what it
answers with the groups of the folder groups.

Run it in this folder, with nodeset installed: python3 sets.py > sets.txt
"""
import os
import shlex
import subprocess

expressions = """
n1
n[1-5],n[3-8]
n[1-5] n[3-8]
n[1-10]!n[3-5]
n[1-10]!n[3-5],n4
n[1-10]&n[5-15]
n[1-10]^n[5-15]
n[1-10]^n[5-15]&n[1-12]!n2
n[1-10],m[1-3]&m[2-5]
n[1-10]!n[1-10]
a,b!a,a
n[1-10]!n1!n2!n3
n[01-10]!n[1-10]
n[01-10],n[1-10]&n[1-99]
n[001-100/3]!n[001-050]
r[1-4]n[1-4]!r2n[1-4]
r[1-4]n[1-4]!r2n3
r[1-4]n[1-4]&r[2-3]n[3-9]
r[1-2]n[1-2]^r[2-3]n[2-3]
r[1-3]c[01-04]n[0-1]!r2c[02-03]n1
n1-[1-3]-ib,n[1-2]-2-ib!n1-2-ib
n[1-3].example.com&n[2-9].example.com
n[1-3]x&n[1-3]
n0[1-3],n[01-05]
n[10-12]0!n110
10.0.[0-1].[1-20]!10.0.1.[5-9]
n[2,4,6,8,10]
n[2-20/3],n[100-200/50],n7
n[1-3,5,7,9,10,011,013,015,100,200,300,400,401]
n[07,10,99,100]
n[08-12,100-101],n[1,01,001]
m[1-3]x[2-8/2]
b a b2 a1 a01 c[1-3]
node[1-5]!node[2-3]&node[1-4]
 n[1-5] ! n2 , n9 
@gpu
@roles:gpu
@gpu @adm
@up
@up&@gpu
@compute!@down&node[01-09]
@racks:odd
@racks:rack[1-2]&node[09-12]
@racks:rack1^@racks:odd
@*
@*!@compute
@racks:*
@roles:*!@racks:*
gpu*
*1
*1!node*
*[2-3]&gp?[1-2]
node0?,login*
""".strip("\n").split("\n")
commands = [["-f"], ["-e"], ["-c"], ["-e", "-S", ":"], ["--autostep", "3", "-f"], ["--autostep", "auto", "-f"],
            ["--autostep", "50%", "-f"], ["-f", "-I", "0"], ["-e", "-I", "1-5/2,7"], ["-c", "-I", "0-3"],
            ["--split", "3", "-f"], ["--split", "4", "-e"], ["--split", "99", "-c"], ["-r"], ["-r", "-s", "racks"],
            ["-f", "-x", "n[2-4],@down"], ["-c", "-x", "r2n[1-4]", "-x", "@gpu"]]


def cases():
    for i, words in enumerate(expressions):
        words = [words] if "!" in words or "&" in words or "^" in words else words.split()
        yield ["-f"] + words
        yield ["-e"] + words
        for k in range(3):  # of the others, each expression has some
            command = commands[(i * 3 + k) % (len(commands) - 2) + 2]
            if "-s" in command and "@up" in words[0]:
                continue  # racks has none: empty for nodeset, a mistake for us
            if "-x" in command:  # nodeset takes out what stands in front
                at = command.index("-x")
                command = command[:at] + words + command[at:]
                yield command
            else:
                yield command + words


env = dict(os.environ, CLUSTERSHELL_CFGDIR=os.path.abspath("groups"), LC_ALL="C.UTF-8")
print("# arguments of nodeset 1.9.1 and what it answers; written by sets.py")
for args in cases():
    out = subprocess.run(["nodeset"] + args, capture_output=True, text=True, env=env)
    if out.returncode or out.stderr:
        raise SystemExit(f"{args}: {out}")
    print("\n$ " + shlex.join(args))
    print(out.stdout, end="" if out.stdout.strip() else "")
