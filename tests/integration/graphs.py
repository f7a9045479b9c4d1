"""Graphs that several tests run, with the results that they must have."""

# Cuts, sums per part, one total: every object crosses workers. `%s`: shell text that each cut runs first.
SHUFFLE = """
taskd: 1
tasks:
- name: cut
  over: {i: 0..11}
  out: {p: {parts: "p/{k}", count: 4}}
  sh: |
    %s
    for k in 0 1 2 3; do echo $((i * i + k)) > "p/$k"; done
- {name: sum, over: {k: 0..3}, in: {r: "cut[*].p[{k}]"}, out: {s: s.txt},
   sh: 't=0; for f in "$in_r"/*; do t=$((t + $(cat "$f"))); done; echo $t > "$out_s"'}
- {name: total, in: {s: "sum[*].s"}, sh: 't=0; for f in "$in_s"/*; do t=$((t + $(cat "$f"))); done; echo $t', stdout: n}
want: [total.n, "sum[*].s", "cut[3].p"]
"""
TOTAL = sum(i * i + k for i in range(12) for k in range(4))
SUMS = [sum(i * i + k for i in range(12)) for k in range(4)]


def gated_shuffle(gate, free):
    """The shuffle whose first `free` cuts end at once; the others wait for the gate. Marks cut0, cut1 ..."""
    return SHUFFLE % f'{gate.here("cut$i")}; if [ "$i" -ge {free} ]; then {gate.wait}; fi'
