// Everything that a graph file can have wrong: the line, the thing and the fix.
#include <sys/stat.h>

#include "cli/client/yaml_node.h"
#include "tests/unit/cli/graph_fixture.h"

namespace taskd::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

using ErrorsTest = GraphTest;

struct Case {
  std::string_view tasks;  // lines of the list; the first one is line 3 of the file
  std::string_view error;  // a part of the message
};

class TaskErrors : public GraphTest, public testing::WithParamInterface<Case> {};

TEST_P(TaskErrors, AreSaidWithTheirLine) {
  EXPECT_THAT(ErrorOf(File(GetParam().tasks)), HasSubstr(GetParam().error));
}

INSTANTIATE_TEST_SUITE_P(
    Structure, TaskErrors,
    testing::Values(
        Case{"- {name: a, sh: x, sh: y}",
             "g.yaml:3: the key 'sh' stands here twice; the first is in line 3"},
        Case{"- {name: a, sh: x}\n- {name: a, sh: y}",
             "g.yaml:4: there are two tasks named 'a'; the first is in line 3"},
        Case{"- {name: a, hs: x}", "g.yaml:3: 'hs' is no key of task 'a' (did you mean 'sh'?)"},
        Case{"- {sh: x}", "g.yaml:3: a task without a name"},
        Case{"- just text", "g.yaml:3: a task is a mapping like {name: ..., sh: ...}, not text"},
        Case{"- {name: a.b, sh: x}", "g.yaml:3: 'a.b' cannot be a task's name"},
        Case{"- {name: [a], sh: x}", "g.yaml:3: a task's name is text, not a list"},
        Case{"- {name: a}", "g.yaml:3: task 'a' needs one of sh, argv, native, python and builtin"},
        Case{"- {name: a, sh: x, argv: [y]}",
             "g.yaml:3: task 'a' needs only one of sh, argv, native, python and builtin, it has 2"},
        Case{"- {name: a, sh: ''}", "g.yaml:3: sh is empty"},
        Case{"- {name: a, sh: {x}}", "g.yaml:3: sh is text, not a mapping; quote it: \"{x}\""},
        Case{"- {name: a, sh: \"x\\0y\"}", "g.yaml:3: sh has a NUL byte"},
        Case{"- {name: a, argv: []}",
             "g.yaml:3: argv is a list of words like [sort, -n], not an empty one"},
        Case{"- {name: a, argv: ['']}", "g.yaml:3: the first word of argv, the program, is empty"},
        Case{"- {name: a, sh: x, in: [y]}", "g.yaml:3: in is a mapping of names"},
        Case{"- {name: a, sh: x, out: [y]}", "g.yaml:3: out is a mapping of names"},
        Case{"- {name: a, sh: !!str x}", "g.yaml:3: the tag"},
        Case{"- {<<: x, name: a}", "g.yaml:3: merge keys (<<) are not supported yet"},
        Case{"- {[a]: x}", "g.yaml:3: a key must be text, not a list"}));

INSTANTIATE_TEST_SUITE_P(
    Quoting, TaskErrors,
    testing::Values(Case{"- {name: a, over: {i: 1..3}, sh: x, out: {c: c}}\n- {name: b, in: {x: "
                         "a[{i}].c}, sh: y}",
                         "g.yaml:4: YAML: end of map flow not found; a name with brackets or "
                         "braces inside [...] or {...} needs quotes"},
                    Case{"- {name: a, over: {i: 1..3}, argv: [x, {i}]}",
                         "g.yaml:3: a word of argv is text, not a mapping; quote it: \"{i}\""},
                    Case{"- {name: a, over: {i: [{x}]}, sh: x}",
                         "g.yaml:3: a value of axis 'i' is text, not a mapping; quote it: \"{x}\""},
                    Case{"- {name: a, over: {i: {x}}, sh: x}",
                         "g.yaml:3: an axis is text, not a mapping; quote it: \"{x}\""},
                    Case{"- {name: a, out: {c: {x}}, sh: x}",
                         "g.yaml:3: an output's file is text, not a mapping; quote it: \"{x}\""}));

INSTANTIATE_TEST_SUITE_P(
    Axes, TaskErrors,
    testing::Values(
        Case{"- {name: a, over: 1..3, sh: x}",
             "g.yaml:3: over is a mapping of axes like {i: 1..100}, not text"},
        Case{"- {name: a, over: {a-b: 1..3}, sh: x}",
             "g.yaml:3: the axis 'a-b' cannot be an environment variable"},
        Case{"- {name: a, over: {i: x}, sh: x}", "g.yaml:3: the axis 'i' is 'x'; write a list [x]"},
        Case{"- {name: a, over: {i: }, sh: x}", "g.yaml:3: the axis 'i' has no values"},
        Case{"- {name: a, over: {i: []}, sh: x}", "g.yaml:3: the axis 'i' is an empty list"},
        Case{"- {name: a, over: {i: [1, 2, 1]}, sh: x}",
             "g.yaml:3: the axis 'i' has the value '1' twice"},
        Case{"- {name: a, over: {i: 3..1}, sh: x}",
             "g.yaml:3: the range '3..1' is empty; downwards is 5..1..-1"},
        Case{"- {name: a, over: {i: 1..x}, sh: x}", "g.yaml:3: '1..x' is not a range"},
        Case{"- {name: a, over: {i: 1..9..0}, sh: x}", "g.yaml:3: '1..9..0' is not a range"},
        Case{"- {name: a, over: {i: 1..9000000000}, sh: x}",
             "more values than a job may have tasks"},
        Case{"- {name: a, over: {i: 1..100000, j: 1..100000}, sh: x}",
             "g.yaml:3: 'a' would have 100000 x 100000 tasks; the limit"},
        Case{"- {name: a, over: {i: b.j}, sh: x}", "g.yaml:3: there is no task 'b'"},
        Case{"- {name: a, over: {i: b.j}, sh: x}\n- {name: b, over: {jj: 1..2}, sh: x}",
             "g.yaml:3: 'b' has no axis 'j' (did you mean 'jj'?)"},
        Case{"- {name: a, over: {i: b.i}, sh: x}\n- {name: b, over: {i: a.i}, sh: x}",
             "the axes of 'a' are made from themselves"},
        Case{"- {name: a, over: {i: {glob: 'none/*'}}, sh: x}",
             "g.yaml:3: the glob 'none/*' matches nothing"},
        Case{"- {name: a, over: {i: {glob: '/'}}, sh: x}", "g.yaml:3: '/' names a folder"},
        Case{"- {name: a, over: {i: {glob: '/etc/a**b'}}, sh: x}",
             "** stands alone between slashes"},
        Case{"- {name: a, over: {i: {lines: none.txt}}, sh: x}",
             "g.yaml:3: cannot read the lines of '"},
        Case{"- {name: a, over: {i: {lines: x, glob: y}}, sh: x}",
             "g.yaml:3: the axis 'i' needs one of glob and lines"},
        Case{"- {name: a, over: {i: {glob: '/etc/*', into: 0}}, sh: x}",
             "g.yaml:3: the number of lists is '0'"},
        Case{"- {name: a, over: {i: {glob: '/etc/*', by: bytes}}, sh: x}",
             "g.yaml:3: 'by' belongs to a glob cut 'into' lists"},
        Case{"- {name: a, over: {i: 1..2}, except: [{j: 1}], sh: x}",
             "g.yaml:3: 'a' has no axis 'j'"},
        Case{"- {name: a, over: {i: 1..2}, except: [{i: 3}], sh: x}",
             "g.yaml:3: axis 'i' of 'a' has no value '3'"},
        Case{"- {name: a, over: {i: 1..2}, except: [{i: 1}, {i: 2}], sh: x}",
             "g.yaml:3: nothing is left of 'a'"},
        Case{"- {name: a, except: [{i: 1}], sh: x}", "g.yaml:3: except without over"}));

constexpr std::string_view kMap =
    "- {name: map, over: {i: 0..3}, sh: x, out: {c: c, p: {parts: 'p{k}', count: 4}}}\n";

class ReferenceErrors : public TaskErrors {};
TEST_P(ReferenceErrors, AreSaidWithTheirLine) {
  EXPECT_THAT(ErrorOf(File(StrCat(kMap, GetParam().tasks))), HasSubstr(GetParam().error));
}
INSTANTIATE_TEST_SUITE_P(
    References, ReferenceErrors,
    testing::Values(
        Case{"- {name: r, in: {x: 'mapp[*].c'}, sh: x}",
             "g.yaml:4: 'mapp[*].c': there is no task 'mapp' (did you mean 'map'?)"},
        Case{"- {name: r, in: {x: 'map[*].cc'}, sh: x}",
             "g.yaml:4: 'map[*].cc': 'map' has no output 'cc'; it has c, p"},
        Case{"- {name: r, in: {x: 'map[*]'}, sh: x}",
             "g.yaml:4: 'map[*]' names tasks, not objects; add an output, like map[*].c"},
        Case{"- {name: r, in: {x: 'map.c'}, sh: x}",
             "g.yaml:4: 'map.c': 'map' has 4 tasks; write map[*].c for all of them"},
        Case{"- {name: r, in: {x: 'map[7].c'}, sh: x}",
             "g.yaml:4: 'map[7].c': axis 'i' of 'map' has no value '7'"},
        Case{"- {name: r, in: {x: 'map[1,2].c'}, sh: x}",
             "g.yaml:4: 'map' has 1 axis (i), but 2 values are given"},
        Case{"- {name: r, over: {k: 0..9}, in: {x: 'map[{k}].c'}, sh: x}",
             "g.yaml:4: 'map[{k}].c': axis 'i' of 'map' has no value '4'"},
        Case{"- {name: r, over: {k: 0..3}, in: {x: 'map[{kk}].c'}, sh: x}",
             "g.yaml:4: '{kk}' names nothing here; known: k"},
        Case{"- {name: r, in: {x: 'map[*].p[4]'}, sh: x}",
             "g.yaml:4: 'map[*].p[4]': there is no part 4; map.p has 4 parts, 0 .. 3"},
        Case{"- {name: r, in: {x: 'map[*].c[0]'}, sh: x}",
             "g.yaml:4: 'map[*].c[0]': map.c has no parts"},
        Case{"- {name: r, over: {k: [a]}, in: {x: 'map[*].p[{k}]'}, sh: x}",
             "g.yaml:4: 'map[*].p[{k}]': 'a' is not a part"},
        Case{"- {name: r, in: {x: 'map[3'}, sh: x}",
             "g.yaml:4: 'map[3' is not a name: a ']' is missing"},
        Case{"- {name: r, in: {x: {path: none}}, sh: x}",
             "g.yaml:4: the input 'x': there is no file /"},
        Case{"- {name: r, in: {x: {pat: none}}, sh: x}",
             "g.yaml:4: the input 'x' is text, not a mapping"},
        Case{"- {name: r, in: {x-y: {path: none}}, sh: x}",
             "g.yaml:4: the input 'x-y' cannot be an environment variable"},
        Case{"- {name: r, in: {x: s.o}, sh: x, out: {o: o}}\n- {name: s, in: {x: t.o}, sh: x, out: "
             "{o: o}}\n"
             "- {name: t, in: {x: r.o}, sh: x, out: {o: o}}\n- {name: u, in: {x: t.o}, sh: x}",
             "g.yaml:4: the tasks wait for each other in a cycle: r -> t -> s -> r"},
        Case{"- {name: r, in: {x: r.o}, sh: x, out: {o: o}}",
             "the tasks wait for each other in a cycle: r -> r"},
        Case{"- {name: e, over: {a: 1..2, b: 1..2}, except: [{a: 1, b: 2}], sh: x, out: {o: o}}\n"
             "- {name: r, in: {x: 'e[1,2].o'}, sh: x}",
             "g.yaml:5: 'e[1,2].o' matches nothing for r"}));

INSTANTIATE_TEST_SUITE_P(
    Outputs, TaskErrors,
    testing::Values(
        Case{"- {name: a, sh: x, out: {c: /abs}}",
             "g.yaml:3: the output '/abs' is an absolute path"},
        Case{"- {name: a, sh: x, out: {c: a/../../b}}",
             "g.yaml:3: the output 'a/../../b' leaves the task's folder with '..'"},
        Case{"- {name: a, sh: x, out: {c: d/}}", "g.yaml:3: the output 'd/' is not a file's name"},
        Case{"- {name: a, sh: x, out: {c: o, d: ./o}}", "g.yaml:3: two outputs are the file 'o'"},
        Case{"- {name: a, sh: x, out: {c: c}, stdout: c}",
             "g.yaml:3: there are two outputs named 'c'"},
        Case{"- {name: a, sh: x, out: {c-d: c}}",
             "g.yaml:3: the output 'c-d' cannot be an environment variable (out_c-d)"},
        Case{"- {name: a, sh: x, over: {i: 1..2}, out: {c: 'c{i}'}}",
             "each task has a folder of its own"},
        Case{"- {name: a, sh: x, out: {p: {parts: p, count: 3}}}",
             "g.yaml:3: the parts 'p' need {k}"},
        Case{"- {name: a, sh: x, out: {p: {parts: 'p{k}'}}}",
             "g.yaml:3: an output in parts needs both"},
        Case{"- {name: a, sh: x, out: {p: {parts: 'p{k}', count: 0}}}",
             "g.yaml:3: the count of parts is '0'"},
        Case{"- {name: a, sh: x, over: {in_y: 1..2}, in: {y: {path: /}}}",
             "$in_y would be both the axis 'in_y' and the input 'y'"}));

INSTANTIATE_TEST_SUITE_P(
    Options, TaskErrors,
    testing::Values(
        Case{"- {name: a, sh: x, retry: many}",
             "g.yaml:3: the number of retries is 'many'; it is a whole number"},
        Case{"- {name: a, sh: x, retry: {backoff: 1s}}", "g.yaml:3: retry needs times"},
        Case{"- {name: a, sh: x, retry: {times: 1, backoff: 1h}}",
             "g.yaml:3: the backoff is at most 10 m"},
        Case{"- {name: a, sh: x, time_limit: soon}",
             "g.yaml:3: the time limit: 'soon' is not a duration"},
        Case{"- {name: a, sh: x, resources: 3}", "g.yaml:3: resources are a mapping"},
        Case{"- {name: a, sh: x, resources: {cpu: 3}}",
             "g.yaml:3: 'cpu' is no key of resources (did you mean 'cpus'?)"},
        Case{"- {name: a, sh: x, resources: {cpus: 0}}", "g.yaml:3: a task needs some cpu"},
        Case{"- {name: a, sh: x, resources: {mem: big}}", "g.yaml:3: mem: 'big' is not a size"},
        Case{"- {name: a, sh: x, resources: {gpus: 0}}", "g.yaml:3: gpus must be more than 0"},
        Case{"- {name: a, sh: x, resources: {pool.x: many}}", "g.yaml:3: pool.x: 'many'"},
        Case{"- {name: a, sh: x, resources: []}", "g.yaml:3: resources are one mapping, or a list"},
        Case{"- {name: a, sh: x, resources: [{gpus: 1}, {cpu: 16}]}",
             "g.yaml:3: 'cpu' is no key of resources"},
        Case{"- {name: a, sh: x, placement: fast}", "g.yaml:3: placement is a mapping like"},
        Case{"- {name: a, sh: x, placement: {host: [n1]}}",
             "g.yaml:3: 'host' is no key of placement (did you mean 'hosts'?)"},
        Case{"- {name: a, sh: x, placement: {hosts: n1}}", "g.yaml:3: hosts is a list of names"},
        Case{"- {name: a, sh: x, placement: {rule: maybe}}",
             "g.yaml:3: the rule is 'maybe'; it is strict, preferred or fail_fast"},
        Case{"- {name: a, sh: x, needs_time: long}", "g.yaml:3: the needed time: 'long'"},
        Case{"- {name: a, sh: x, pure: maybe}", "g.yaml:3: pure is 'maybe'; it is true or false"},
        Case{"- {name: a, sh: x, straggler: 0.5}", "g.yaml:3: straggler is how many times"},
        Case{"- {name: a, sh: x, replicas: 0}", "g.yaml:3: replicas is '0'; it is a whole number"},
        Case{"- {name: a, sh: x, replicas: 17}",
             "g.yaml:3: replicas is '17'; it is a whole number"},
        Case{"- {name: a, sh: x, retry: {times: 1, on: lost}}", "g.yaml:3: on is a list like"},
        Case{"- {name: a, sh: x, retry: {times: 1, on: [timeuot]}}",
             "g.yaml:3: 'timeuot' is nothing that a task can be retried on (did you mean "
             "'timeout'?)"},
        Case{"- {name: a, sh: x, retry: {times: 1, on: [\"exit:999\"]}}",
             "g.yaml:3: 'exit:999': exit codes are from 1 to 255"},
        Case{"- {name: a, sh: x, priority: 1.5}", "g.yaml:3: the priority is '1.5'"},
        Case{"- {name: a, builtin: slep}",
             "g.yaml:3: there is no built-in 'slep' (did you mean 'sleep'?)"},
        Case{"- {name: a, builtin: sleep}", "g.yaml:3: the built-in 'sleep' needs a duration"},
        Case{"- {name: a, builtin: {name: noop, size: 3}}",
             "g.yaml:3: the built-in 'noop' has no size"},
        Case{"- {name: a, builtin: concat}",
             "g.yaml:3: the built-in 'concat' makes 1 output, but 0 are named"},
        Case{"- {name: a, builtin: noop, out: {v: v}}",
             "g.yaml:3: the outputs of a built-in are values: a list of names"},
        Case{"- {name: a, builtin: noop, stdout: v}", "g.yaml:3: a built-in has no stdout"}));

INSTANTIATE_TEST_SUITE_P(
    Functions, TaskErrors,
    testing::Values(
        Case{"- {name: a, native: /x.so}", "g.yaml:3: native is a mapping like {library: PATH, "},
        Case{"- {name: a, native: {library: /x.so}}", "g.yaml:3: native needs both"},
        Case{"- {name: a, native: {library: /x.so, function: 'f()'}}",
             "g.yaml:3: the function 'f()' is not a C function's name"},
        Case{"- {name: a, native: {library: '', function: f}}", "g.yaml:3: the library is empty"},
        Case{"- {name: a, native: {library: /x.so, function: f}, stdout: o}",
             "g.yaml:3: a function has no stdout that could be an output"},
        Case{"- {name: a, native: {library: /x.so, function: f}, out: {o: o}}",
             "g.yaml:3: the outputs of a function are values: a list of names"},
        Case{"- {name: a, native: {library: /x.so, function: f}, over: {i: 0..1}, in: {i: x.o}}",
             "g.yaml:3: i would be both the axis 'i' and the input 'i'"},
        Case{"- {name: a, python: f}", "g.yaml:3: python calls \"module:function\", not \"f\""},
        Case{"- {name: a, python: 'm:1'}", "g.yaml:3: python calls \"module:function\""},
        Case{"- {name: a, python: {path: /x}}", "g.yaml:3: python needs what to call"},
        Case{"- {name: a, python: 'm:f', out: [{p: {}}]}",
             "g.yaml:3: an output in parts needs how many: {p: {count: 16}}"},
        Case{"- {name: a, python: 'm:f', out: [{p: {count: 0}}]}",
             "g.yaml:3: the count of parts is '0'; it is a whole number from 1 to 1048576"},
        Case{"- {name: a, python: 'm:f', out: [{p: {parts: x, count: 2}}]}", "g.yaml:3:"},
        Case{"- {name: a, python: 'm:f', out: [p]}\n- {name: b, sh: x, in: {i: 'a.p[0]'}}",
             "g.yaml:4: 'a.p[0]': a.p has no parts; write it as out: [{p: {count: 16}}]"},
        Case{"- {name: a, builtin: noop, out: [p]}\n- {name: b, sh: x, in: {i: 'a.p[0]'}}",
             "g.yaml:4: 'a.p[0]': a.p has no parts: a built-in makes none"},
        Case{"- {name: a, builtin: noop, out: [{p: {count: 2}}]}",
             "g.yaml:3: an output's name is text, not a mapping"},
        Case{"- {name: a, python: {call: 'm:f', venv: x}}", "g.yaml:3:"},
        Case{"- {name: a, python: {call: 'm:f', env: ''}}", "g.yaml:3: the environment is empty"},
        Case{"- {name: a, python: {call: 'm:f', env: x, interpreter: y}}",
             "g.yaml:3: python takes env or interpreter, not both"}));

INSTANTIATE_TEST_SUITE_P(
    NotYet, TaskErrors,
    testing::Values(
        Case{"- {name: a, sh: x, tree: 32}", "g.yaml:3: 'tree' in task 'a': not supported yet"},
        Case{"- {name: a, expand: {rows: x}}", "g.yaml:3: 'expand' in task 'a': not supported yet"},
        Case{"- {name: a, sh: x, on_fail: absent}",
             "g.yaml:3: 'on_fail' in task 'a': not supported yet"},
        Case{"- {name: a, sh: x, environment: e}",
             "g.yaml:3: 'environment' in task 'a': not supported yet"},
        Case{"- {name: a, sh: x, edge: skip}", "g.yaml:3: 'edge' in task 'a': not supported yet"},
        Case{"- {name: a, sh: x, in: {x: {from: 'b[*].c', as: y}}}",
             "g.yaml:3: an input with 'from' and 'as': not supported yet"},
        Case{"- {name: a, sh: x, in: {x: 'b[3].*'}}",
             "g.yaml:3: 'b[3].*' (every output of a task): not supported yet"},
        Case{"- {name: a, sh: x, out: {x: {path: /y}}}",
             "g.yaml:3: 'path' in an output: not supported yet"},
        Case{"- {name: a, sh: x, out: {x: {folder: y}}}",
             "g.yaml:3: 'folder' in an output: not supported yet"},
        Case{"- {name: a, sh: x, resources: {hosts: 2}}",
             "g.yaml:3: 'hosts' in resources: not supported yet"},
        Case{"- {name: a, sh: x, over: {r: rows}}",
             "g.yaml:3: an axis over rows: not supported yet"},
        Case{"- {name: a, sh: x, over: {l: {lines: x, into: 3}}}",
             "g.yaml:3: 'into' for lines of a file: not supported yet"},
        Case{"- {name: a, builtin: replay}", "g.yaml:3: the built-in 'replay': not supported yet"},
        Case{"- {name: b, over: {i: 1..3}, sh: x, out: {c: c}}\n- {name: a, over: {i: b.i}, sh: x, "
             "in: {x: 'b[{i}-1].c'}}",
             "g.yaml:4: 'b[{i}-1].c': index arithmetic: not supported yet"},
        Case{"- {name: b, over: {i: 1..3}, sh: x, out: {c: c}}\n- {name: a, over: {i: b.i}, sh: x, "
             "in: {x: 'b[{i-1}].c'}}",
             "g.yaml:4: '{i-1}': arithmetic on an axis is not supported yet"}));

TEST_F(ErrorsTest, OfTheWholeFile) {
  EXPECT_THAT(ErrorOf(""), StartsWith("g.yaml:1: the file is empty"));
  EXPECT_THAT(ErrorOf("# only this\n"), StartsWith("g.yaml:1: the file is empty"));
  EXPECT_THAT(ErrorOf("[1, 2]"), StartsWith("g.yaml:1: a graph file is a mapping"));
  EXPECT_THAT(ErrorOf("tasks: []"), StartsWith("g.yaml:1: 'taskd: 1' is missing"));
  EXPECT_THAT(ErrorOf("taskd: 2\n"),
              StartsWith("g.yaml:1: 'taskd: 2': this taskctl reads version 1"));
  EXPECT_THAT(ErrorOf("taskd: 1\n"), StartsWith("g.yaml:1: the graph is empty"));
  EXPECT_THAT(ErrorOf("taskd: 1\ntasks: []\n"), StartsWith("g.yaml:2: the graph is empty"));
  EXPECT_THAT(ErrorOf("taskd: 1\ntasks: {a: b}\n"), StartsWith("g.yaml:2: tasks is a list"));
  EXPECT_THAT(ErrorOf("taskd: 1\ntask: []\n"),
              StartsWith("g.yaml:2: 'task' is no key of a graph file (did you mean 'taskd'?)"));
  EXPECT_THAT(ErrorOf("taskd: 1\nenvironments: {}\n"),
              StartsWith("g.yaml:2: 'environments' in a graph file: not supported yet"));
  EXPECT_THAT(ErrorOf("taskd: 1\n---\ntaskd: 1\n"), StartsWith("g.yaml:3: a second document"));
  EXPECT_THAT(ErrorOf("taskd: 1\ntasks: [\n"), HasSubstr("YAML: "));
  EXPECT_THAT(ErrorOf("taskd: 1\n# \xff\n"), StartsWith("g.yaml:2: this line is not UTF-8"));
  EXPECT_THAT(ErrorOf(std::string(2000, '[')), HasSubstr("g.yaml:1: "));
}

TEST_F(ErrorsTest, OfVariables) {
  auto vars = [&](std::string_view v) {
    return ErrorOf(StrCat("taskd: 1\nvars: ", v, "\ntasks: [{name: a, sh: x}]\n"));
  };
  EXPECT_EQ(vars("{a: '{b}/c', b: d}"), "");
  EXPECT_THAT(vars("{a: '{b}', b: '{a}'}"),
              StartsWith("g.yaml:2: the variable 'a' is made from itself"));
  EXPECT_THAT(vars("{a: '{c}', ab: d}"), StartsWith("g.yaml:2: '{c}' names nothing here"));
  EXPECT_THAT(vars("{a-b: 1}"),
              StartsWith("g.yaml:2: the variable 'a-b' cannot be an environment variable"));
  EXPECT_THAT(vars("{a: [1]}"), StartsWith("g.yaml:2: the variable 'a' is text, not a list"));
  EXPECT_THAT(vars("[a]"), StartsWith("g.yaml:2: vars is a mapping"));
  EXPECT_THAT(vars(StrCat("{a: ", std::string(200'000, 'x'), "}")), HasSubstr("over 128 KiB"));
  EXPECT_FALSE(ParseDefines({"x"}).ok());
  EXPECT_FALSE(ParseDefines({"=3"}).ok());
  EXPECT_FALSE(ParseDefines({"x=1", "x=2"}).ok());
  EXPECT_EQ((*ParseDefines({"x=a=b"}))["x"], "a=b");
}

TEST_F(ErrorsTest, OfWants) {
  auto want = [&](std::string_view w) {
    return ErrorOf(
        StrCat("taskd: 1\ntasks:\n- {name: a, over: {i: 1..2}, sh: x, out: {c: c, p: {parts: "
               "'p{k}', count: 2}}}\nwant: ",
               w));
  };
  EXPECT_EQ(want("['a[*].c', 'a[1].p']"), "");
  EXPECT_THAT(want("a.c"), StartsWith("g.yaml:4: want is a list"));
  EXPECT_THAT(want("[b.c]"), StartsWith("g.yaml:4: 'b.c': there is no task 'b'"));
  EXPECT_THAT(want("['a[3].c']"),
              HasSubstr("g.yaml:4: 'a[3].c': axis 'i' of 'a' has no value '3'"));
  EXPECT_THAT(want("['a[1].p[0]']"), HasSubstr("whole objects are kept, not parts; want a[1].p"));
  EXPECT_THAT(want("['a[1]']"), HasSubstr("names tasks, not objects"));
  EXPECT_THAT(want("[{object: 'a[1].c', to: /x}]"),
              HasSubstr("g.yaml:4: want with 'object' and 'to'"));
}

TEST_F(ErrorsTest, SeveralAreToldAtOnce) {
  EXPECT_THAT(
      ErrorOf(File("- {name: a, shh: x}\n- {name: b, sh: x, retry: y}\n- {name: c, tree: 1}\n")),
      AllOf(HasSubstr("g.yaml:3: "), HasSubstr("\ng.yaml:4: "), HasSubstr("\ng.yaml:5: ")));
}

TEST_F(ErrorsTest, KeysThatAreTooLong) {
  std::string values;
  for (int i = 0; i < 2; ++i)
    values += StrCat(i == 0 ? "" : ", ", std::string(600, static_cast<char>('a' + i)));
  EXPECT_THAT(
      ErrorOf(File(StrCat("- {name: t, over: {a: [", values, "], b: [", values, "]}, sh: x}"))),
      StartsWith("g.yaml:3: the keys of 't' would take up to"));
}

TEST_F(ErrorsTest, ValuesThatCannotBeNames) {
  Write("bad.txt",
        "fine\nb\xff"
        "d\n");
  EXPECT_THAT(ErrorOf(File("- {name: t, over: {l: {lines: bad.txt}}, sh: x}")),
              HasSubstr("is not UTF-8"));
  EXPECT_THAT(ErrorOf(File("- {name: t, over: {l: [\"a\\tb\"]}, sh: x}")),
              HasSubstr("control characters"));
}

TEST_F(ErrorsTest, OfFiles) {
  EXPECT_EQ(LoadGraph(folder_ + "/none.yaml", {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(LoadGraph(folder_, {}).status().message(), HasSubstr("is a folder"));
  std::string path = Write("ok.yaml", "taskd: 1\ntasks: [{name: a, sh: x}]\n");
  EXPECT_TRUE(LoadGraph(path, {}).ok());
}

TEST(Utf8, LinesThatAreNot) {
  EXPECT_EQ(FirstLineNotUtf8("a\nü€😀\n"), 0);
  EXPECT_EQ(FirstLineNotUtf8("a\n\x80"), 2);
  EXPECT_EQ(FirstLineNotUtf8("\xc3"), 1);              // cut short
  EXPECT_EQ(FirstLineNotUtf8("\xc0\xaf"), 1);          // overlong
  EXPECT_EQ(FirstLineNotUtf8("\xed\xa0\x80"), 1);      // a surrogate
  EXPECT_EQ(FirstLineNotUtf8("\xf4\x90\x80\x80"), 1);  // beyond U+10FFFF
  EXPECT_EQ(FirstLineNotUtf8(std::string_view("\0", 1)), 1);
}

}  // namespace
}  // namespace taskd::client
