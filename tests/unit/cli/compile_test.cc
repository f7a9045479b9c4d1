#include "cli/client/braces.h"
#include "cli/client/builder.h"
#include "common/base/limits.h"
#include "tests/unit/cli/graph_fixture.h"

namespace taskd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CompileTest : public GraphTest {
 protected:
  std::vector<TaskText> Tasks(std::string_view text, const Defines& defines = {}) {
    auto graph = Load(text, defines);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return graph.ok() ? Describe(*graph) : std::vector<TaskText>();
  }
  // The inputs of the task with this key.
  std::string Inputs(std::string_view text, std::string_view key) {
    for (const TaskText& t : Tasks(text)) {
      if (t.key == key) return t.inputs;
    }
    return "no such task";
  }
};

constexpr std::string_view kShuffle = R"(
taskd: 1
vars: {maps: 4, parts: 3, src: "in/**"}
tasks:
- name: map
  over: {m: {glob: "{src}", into: "{maps}", by: bytes}}
  out: {p: {parts: "p/{k}", count: "{parts}"}}
  sh: |
    awk '{print > ("p/" $1)}' < "$m_list"
- {name: merge, over: {k: "0..{parts-1}"}, in: {r: "map[*].p[{k}]"}, sh: 'cat "$in_r"/* > "$out_c"', out: {c: c}}
- {name: top, in: {c: "merge[*].c"}, sh: 'cat "$in_c"/* | sort', stdout: words}
want: [top.words, "merge[*].c"]
)";

TEST_F(CompileTest, TheShuffleOfTheLanguagePage) {
  for (int i = 0; i < 9; ++i)
    Write(StrCat("in/d", i % 2, "/f", i), std::string(static_cast<size_t>(i), 'x'));
  auto graph = Load(kShuffle);
  ASSERT_TRUE(graph.ok()) << graph.status();
  std::vector<TaskText> tasks = Describe(*graph);
  ASSERT_EQ(tasks.size(), 8u);
  EXPECT_EQ(tasks[3].key, "map[3]");
  EXPECT_EQ(tasks[5].inputs, "r=map[0].p+4*1[1..1]");
  EXPECT_EQ(tasks[7].inputs, "c=merge[0].c+3*1");
  EXPECT_EQ(graph->stats.collections, 2u);  // the three merges share one
  EXPECT_EQ(graph->stats.edges, 4u);
  EXPECT_THAT(graph->WantNames(),
              ElementsAre("merge[0].c", "merge[1].c", "merge[2].c", "top.words"));
  EXPECT_EQ(tasks[0].body.command().sh(), "awk '{print > (\"p/\" $1)}' < \"$m_list\"\n");
  EXPECT_EQ(tasks[0].body.outputs(0).file(), "p/{k}");
  EXPECT_EQ(tasks[0].body.outputs(0).parts(), 3u);
  EXPECT_EQ(tasks[4].body.inputs(0).kind(), v1::InputSlot::AXIS);
  EXPECT_EQ(tasks[7].body.outputs(0).kind(), v1::OutputSlot::STDOUT);
  EXPECT_EQ(tasks[1].args.values(0).name(), "m");
  EXPECT_EQ(tasks[1].args.values(0).value(), "1");
  EXPECT_EQ(tasks[1].args.lists(0).name(), "m_list");
  EXPECT_EQ(tasks[0].args.lists(0).value(),
            StrCat(folder_, "/in/d0/f0\n", folder_, "/in/d0/f8\n", folder_, "/in/d1/f1\n"));
  std::map<std::string, std::string> vars;
  for (const v1::Value& v : tasks[0].body.vars()) vars[v.name()] = v.value();
  EXPECT_EQ(vars["parts"], "3");
  EXPECT_EQ(vars["src"], "in/**");
}

TEST_F(CompileTest, DefinesReplaceVariables) {
  Write("in/a", "x");
  EXPECT_EQ(Tasks(kShuffle, {{"maps", "2"}, {"parts", "5"}}).size(), 8u);
  EXPECT_THAT(ErrorOf(kShuffle, {{"map", "2"}}),
              HasSubstr("-D map=...: g.yaml has no variable 'map' (did you mean 'maps'?)"));
}

TEST_F(CompileTest, Axes) {
  auto keys = [&](std::string_view over) {
    return Keys(File(StrCat("- {name: t, sh: x, over: ", over, "}\n")));
  };
  EXPECT_EQ(keys("{a: [0.10, 0.2, x y]}"), "t[0.10] t[0.2] t[x y]");
  EXPECT_EQ(keys("{i: 1..3}"), "t[1] t[2] t[3]");
  EXPECT_EQ(keys("{i: 10..0..-5}"), "t[10] t[5] t[0]");
  EXPECT_EQ(keys("{i: 0..9..4}"), "t[0] t[4] t[8]");
  EXPECT_EQ(keys("{i: -1..1}"), "t[-1] t[0] t[1]");
  EXPECT_EQ(keys("{i: 08..10}"), "t[08] t[09] t[10]");
  EXPECT_EQ(keys("{a: [x, y], i: 1..2}"), "t[x,1] t[x,2] t[y,1] t[y,2]");
  EXPECT_EQ(keys("{a: [\"p,q\", \"*\"]}"), "t[p\\,q] t[\\*]");
  Write("lines.txt", "one\r\n\ntwo\nthree");
  EXPECT_EQ(keys("{l: {lines: lines.txt}}"), "t[one] t[two] t[three]");
  Write("d/b.fits", "");
  Write("d/a.fits", "");
  Write("d/c.txt", "");
  EXPECT_EQ(keys("{f: {glob: 'd/*.fits'}}"),
            StrCat("t[", folder_, "/d/a.fits] t[", folder_, "/d/b.fits]"));
  EXPECT_EQ(keys(StrCat("{f: {glob: ['d/*.txt', '", folder_, "/d/a*']}}")),
            StrCat("t[", folder_, "/d/a.fits] t[", folder_, "/d/c.txt]"));
}

TEST_F(CompileTest, AxesOfOthersAndExceptions) {
  std::string text = File(R"(- {name: mean, over: {a: sim.alpha}, in: {r: "sim[{a},*].csv"}, sh: x}
- {name: sim, over: {alpha: [0.10, 0.2], seed: 1..3}, except: [{alpha: 0.2, seed: 2}, {seed: 3}], sh: x, out: {csv: c}}
)");
  EXPECT_EQ(Keys(text), "sim[0.10,1] sim[0.10,2] sim[0.2,1] mean[0.10] mean[0.2]");
  EXPECT_EQ(Inputs(text, "mean[0.10]"), "r=sim[0.10,1].csv+2*1");
  EXPECT_EQ(Inputs(text, "mean[0.2]"), "r=sim[0.2,1].csv");
}

TEST_F(CompileTest, References) {
  auto inputs = [&](std::string_view reader, std::string_view key) {
    return Inputs(
        File(StrCat(
            "- {name: m, over: {i: 0..3}, sh: x, out: {a: a, p: {parts: 'p{k}', count: 6}}}\n"
            "- {name: s, over: {u: [x, y, z], v: 1..2}, sh: x, out: {c: c}}\n- {name: one, sh: x, "
            "out: {c: c}}\n"
            "- {name: r, sh: x, ",
            reader, "}\n")),
        key);
  };
  EXPECT_EQ(inputs("in: {x: one.c}", "r"), "x=one.c");
  EXPECT_EQ(inputs("in: {x: 'm[3].a'}", "r"), "x=m[3].a");
  EXPECT_EQ(inputs("in: {x: 'm[*].a'}", "r"), "x=m[0].a+4*2");
  EXPECT_EQ(inputs("in: {x: 'm[1..2].p'}", "r"), "x=m[1].p+2*2");
  EXPECT_EQ(inputs("over: {k: m.i}, in: {x: 'm[{k}].a', y: one.c}", "r[2]"), "x=m[2].a y=one.c");
  EXPECT_EQ(inputs("over: {k: [2, 0]}, in: {x: 'm[{k}].a'}", "r[2]"), "x=m[2].a");
  EXPECT_EQ(inputs("over: {k: 1..3}, in: {x: 'm[*].p[{k}]'}", "r[3]"), "x=m[0].p+4*2[3..3]");
  EXPECT_EQ(inputs("in: {x: 'm[*].p[0..3]'}", "r"), "x=m[0].p+4*2[0..3]");
  EXPECT_EQ(inputs("in: {x: 'm[1].p[5]', y: 'm[1].p[*]'}", "r"), "x=m[1].p[5..5] y=m[1].p");
  EXPECT_EQ(inputs("over: {w: s.v}, in: {x: 's[*,{w}].c'}", "r[2]"), "x=s[x,2].c+3*2");
  EXPECT_EQ(inputs("over: {w: s.u}, in: {x: 's[{w},*].c'}", "r[y]"), "x=s[y,1].c+2*1");
  EXPECT_EQ(inputs("over: {b: [y, x], w: 1..2}, in: {x: 's[{b},{w}].c'}", "r[y,2]"), "x=s[y,2].c");
  EXPECT_EQ(inputs("over: {k: 0..1}, in: {x: 'm[0..{k}].a'}", "r[1]"), "x=m[0].a+2*2");
}

TEST_F(CompileTest, AnAxisThatIsNoProgressionIsSeveralEdgesOfOneSlot) {
  std::string text = File(R"(- {name: t, over: {a: 0..2, b: 0..2, c: 0..1}, sh: x, out: {o: o}}
- {name: r, in: {x: "t[*,1,*].o", y: "t[0,0,0].o"}, sh: x}
)");
  EXPECT_EQ(Inputs(text, "r"), "x=t[0,1,0].o+2*1 x=t[1,1,0].o+2*1 x=t[2,1,0].o+2*1 y=t[0,0,0].o");
}

TEST_F(CompileTest, TasksComeAfterWhatTheyRead) {
  EXPECT_EQ(
      Keys(File("- {name: c, in: {x: b.o}, sh: x}\n- {name: b, in: {x: a.o}, sh: x, out: {o: o}}\n"
                "- {name: a, sh: x, out: {o: o}}\n- {name: d, sh: x}\n")),
      "a b c d");
}

TEST_F(CompileTest, ArgvIsOneBodyOfPieces) {
  Write("mesh", "");
  auto tasks = Tasks(File(R"(- name: sim
  over: {alpha: [0.10, 0.2], f: {glob: "me*"}}
  in: {mesh: {path: "{f.path}"}}
  out: {csv: r.csv}
  argv: [sim, "--a={alpha}", "{in.mesh}", "{out.csv}", "{{x}}", "", "$HOME"]
)"));
  ASSERT_EQ(tasks.size(), 2u);
  const v1::CommandBody& command = tasks[0].body.command();
  ASSERT_EQ(command.argv_size(), 7);
  EXPECT_EQ(command.argv(0).pieces(0).literal(), "sim");
  EXPECT_EQ(command.argv(1).pieces(0).literal(), "--a=");
  EXPECT_EQ(command.argv(1).pieces(1).value(), "alpha");
  EXPECT_EQ(command.argv(2).pieces(0).input(), "mesh");
  EXPECT_EQ(command.argv(3).pieces(0).output(), "csv");
  EXPECT_EQ(command.argv(4).pieces(0).literal(), "{x}");
  EXPECT_EQ(command.argv(5).pieces_size(), 0);
  EXPECT_EQ(command.argv(6).pieces(0).literal(), "$HOME");
  EXPECT_EQ(tasks[1].args.values(0).value(), "0.2");
  EXPECT_EQ(tasks[1].args.paths(0).name(), "mesh");
  EXPECT_EQ(tasks[1].args.paths(0).value(), StrCat(folder_, "/mesh"));
  EXPECT_EQ(tasks[0].body.SerializeAsString(), tasks[1].body.SerializeAsString());
}

TEST_F(CompileTest, PathInputsStandBehindObjects) {
  Write("p", "");
  auto tasks = Tasks(
      File("- {name: a, sh: x, out: {o: o}}\n- {name: b, in: {p: {path: p}, x: a.o}, sh: x}\n"));
  EXPECT_EQ(tasks[1].inputs, "x=a.o");
  EXPECT_EQ(tasks[1].body.inputs(0).name(), "x");
  EXPECT_EQ(tasks[1].body.inputs(1).kind(), v1::InputSlot::PATH);
}

TEST_F(CompileTest, OptionsAndDefaults) {
  auto tasks = Tasks(R"(
taskd: 1
defaults: {retry: {times: 2, backoff: 10s}, resources: {cpus: 2, mem: 1GiB}, time_limit: 20m}
tasks:
- {name: a, sh: x}
- {name: b, sh: x, retry: 5, resources: {cpus: 0.5}, priority: -3, time_limit: 90, expect: {time: 2s, bytes: 1k}, crash_limit: 1}
)");
  EXPECT_EQ(tasks[0].options.retries(), 2u);
  EXPECT_EQ(tasks[0].options.backoff_ns(), 10'000'000'000u);
  EXPECT_EQ(tasks[0].options.time_limit_ns(), 1'200'000'000'000u);
  EXPECT_EQ(tasks[0].shape.need().cpus_milli(), 2000u);
  EXPECT_EQ(tasks[1].options.retries(), 5u);
  EXPECT_EQ(tasks[1].options.backoff_ns(), 10'000'000'000u);
  EXPECT_EQ(tasks[1].options.priority(), -3);
  EXPECT_EQ(tasks[1].options.time_limit_ns(), 90'000'000'000u);
  EXPECT_EQ(tasks[1].options.expect_ns(), 2'000'000'000u);
  EXPECT_EQ(tasks[1].options.expect_bytes(), 1000u);
  EXPECT_EQ(tasks[1].options.crash_limit(), 1u);
  EXPECT_EQ(tasks[1].shape.need().cpus_milli(), 500u);
  EXPECT_EQ(tasks[1].shape.need().memory_bytes(), 1u << 30);
}

TEST_F(CompileTest, Functions) {
  std::vector<TaskText> tasks = Tasks(R"(
taskd: 1
vars: {lib: lib/k.so, n: 7}
tasks:
- {name: g, over: {i: 1..2}, native: {library: "{lib}", function: gen}, out: [a, b]}
- {name: p, in: {x: "g[*].a"}, python: {call: "pkg.mod:Class.f", path: src}, out: [v]}
- {name: q, python: "m:f"}
- {name: r, python: {call: "m:f", env: "venv/"}, out: [v, {p: {count: "{n}"}}]}
- {name: s, python: {call: "m:f", interpreter: /opt/python/bin/python3.12}}
)");
  ASSERT_EQ(tasks.size(), 6u);
  EXPECT_TRUE(tasks[0].body.native().library().starts_with('/'));
  EXPECT_TRUE(tasks[0].body.native().library().ends_with("/lib/k.so"));
  EXPECT_EQ(tasks[0].body.native().function(), "gen");
  EXPECT_EQ(tasks[0].body.outputs(1).kind(), v1::OutputSlot::VALUE);
  EXPECT_EQ(tasks[0].body.vars(1).value(), "7");
  EXPECT_EQ(tasks[2].body.python().module(), "pkg.mod");
  EXPECT_EQ(tasks[2].body.python().function(), "Class.f");
  EXPECT_TRUE(tasks[2].body.python().path().ends_with("/src"));
  EXPECT_EQ(tasks[2].body.inputs(0).kind(), v1::InputSlot::AXIS);
  EXPECT_EQ(tasks[3].body.python().path(), "");
  EXPECT_EQ(tasks[3].body.python().interpreter(), "");
  EXPECT_EQ(tasks[4].body.outputs(0).parts(), 0u);
  EXPECT_EQ(tasks[4].body.outputs(1).kind(), v1::OutputSlot::VALUE);
  EXPECT_EQ(tasks[4].body.outputs(1).parts(), 7u);
  EXPECT_TRUE(tasks[4].body.python().interpreter().starts_with('/'));
  EXPECT_TRUE(tasks[4].body.python().interpreter().ends_with("/venv/bin/python"));
  EXPECT_EQ(tasks[5].body.python().interpreter(), "/opt/python/bin/python3.12");
}

TEST_F(CompileTest, Builtins) {
  auto tasks =
      Tasks(File(R"(- {name: g, over: {i: 1..2}, builtin: {name: generate, size: 1MiB}, out: [v, w]}
- {name: s, over: {i: g.i}, builtin: {name: sleep, duration: 5ms}, in: {x: "g[{i}].w"}}
- {name: c, builtin: concat, in: {x: "g[*].v"}, out: [all]}
- {name: n, builtin: noop}
)"));
  ASSERT_EQ(tasks.size(), 6u);
  EXPECT_EQ(tasks[0].body.builtin().size_bytes(), 1u << 20);
  EXPECT_EQ(tasks[0].body.outputs(1).kind(), v1::OutputSlot::VALUE);
  EXPECT_EQ(tasks[3].inputs, "x=g[2].w");
  EXPECT_EQ(tasks[3].body.builtin().duration_ns(), 5'000'000u);
  EXPECT_EQ(tasks[4].inputs, "x=g[1].v+2*2");
  EXPECT_EQ(tasks[5].body.builtin().name(), "noop");
  EXPECT_EQ(tasks[5].args.ByteSizeLong(), 0u);
}

TEST_F(CompileTest, JsonIsYaml) {
  auto tasks = Tasks(
      "{\"taskd\": 1,\n\t\"tasks\": [{\"name\": \"a\", \"over\": {\"i\": \"1..2\"}, \"sh\": \"echo "
      "\\u00e9 \\/\"}]}");
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0].body.command().sh(), "echo é /");
}

TEST_F(CompileTest, AnchorsWork) {
  EXPECT_EQ(Keys("taskd: 1\ntasks:\n- {name: a, sh: x, over: &axes {i: 1..2}}\n- {name: b, sh: x, "
                 "over: *axes}\n"),
            "a[1] a[2] b[1] b[2]");
}

TEST_F(CompileTest, LargeGraphsAreCutIntoBatches) {
  auto graph =
      Load(File("- {name: a, over: {i: 1..150000}, sh: x, out: {o: o}}\n"
                "- {name: b, over: {i: a.i}, in: {x: 'a[{i}].o'}, sh: x, out: {o: o}}\n"
                "- {name: c, in: {x: 'b[*].o'}, sh: x, out: {o: o}}\n"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_GE(graph->frames.size(), 5u);
  for (const v1::GraphBatch& batch : Batches(*graph)) {
    uint64_t tasks = 0;
    for (const v1::TaskRun& run : batch.runs()) tasks += run.count();
    EXPECT_LE(tasks, limits::kTasksPerBatch);
    EXPECT_LE(batch.ByteSizeLong(), limits::kBatchBytes);
  }
  EXPECT_EQ(graph->stats.depth, 3u);
  EXPECT_EQ(graph->stats.width, 150'000u);
  EXPECT_EQ(graph->names.TaskKey(150'000), "b[1]");
  std::vector<TaskText> tasks = Describe(*graph);
  EXPECT_EQ(tasks[299'999].inputs, "x=a[150000].o");
  EXPECT_EQ(tasks[300'000].inputs, "x=b[1].o+150000*1");
}

TEST(Braces, Table) {
  Vars vars = {{"n", "16"}, {"dir", "/d"}, {"word", "w"}};
  auto text = [&](std::string_view t) {
    auto r = ExpandVars(t, vars);
    return r.ok() ? *r : StrCat("error: ", ToStd(r.status().message()));
  };
  EXPECT_EQ(text("{dir}/x{n}"), "/d/x16");
  EXPECT_EQ(text("{n-1}"), "15");
  EXPECT_EQ(text("{n * 2 + 1}"), "33");
  EXPECT_EQ(text("{1+n/3%4}"), "2");
  EXPECT_EQ(text("{{n}} }"), "{n} }");
  EXPECT_EQ(text(""), "");
  EXPECT_THAT(text("{dri}"), HasSubstr("'{dri}' names nothing here (did you mean 'dir'?)"));
  EXPECT_THAT(text("{n"), HasSubstr("a '}' is missing"));
  EXPECT_THAT(text("{word-1}"), HasSubstr("whole-number arithmetic"));
  EXPECT_THAT(text("{n/0}"), HasSubstr("whole-number arithmetic"));
  EXPECT_THAT(text("{}"), HasSubstr("whole-number arithmetic"));
}

TEST(Builder, StencilOfAMillionEdges) {
  GraphBuilder g;
  uint32_t body = g.AddBody(BuiltinBody("noop", {"l", "m", "r"}, {"v"}));
  uint32_t root = g.AddBody(BuiltinBody("noop", {}, {"v"}));
  constexpr uint32_t kWidth = 100'000;
  auto first = g.AddTasks({.name = "s0", .count = kWidth, .body = root});
  auto second =
      g.AddTasks({.name = "s1",
                  .count = kWidth,
                  .body = body,
                  .edges = [&](uint32_t row, std::vector<Edge>& edges) {
                    uint32_t slot = 0;
                    for (uint32_t d : {kWidth - 1, 0u, 1u})
                      edges.push_back({g.Object(first, (row + d) % kWidth, 0), slot++, {}});
                  }});
  v1::Body sum = BuiltinBody("checksum", {"all"}, {"sum"});
  sum.mutable_inputs(0)->set_kind(v1::InputSlot::AXIS);
  uint32_t sum_body = g.AddBody(sum);
  auto last = g.AddTasks(
      {.name = "sum", .body = sum_body, .edges = [&](uint32_t, std::vector<Edge>& edges) {
         edges.push_back({g.All(second, 0), 0, {}});
       }});
  g.Want(g.Object(last, 0, 0));
  auto frames = g.Finish();
  ASSERT_TRUE(frames.ok()) << frames.status();
  auto graph = GraphFromFrames(*std::move(frames));
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->stats.tasks, 2 * kWidth + 1);
  EXPECT_EQ(graph->stats.edges, 3 * kWidth + 1);
  EXPECT_EQ(graph->stats.depth, 3u);
  EXPECT_EQ(graph->names.TaskKey(kWidth + 7), "s1[7]");
  EXPECT_THAT(graph->WantNames(), ElementsAre("sum.sum"));
  EXPECT_EQ(Describe(*graph)[kWidth].inputs,
            StrCat("l=s0[", kWidth - 1, "].v m=s0[0].v r=s0[1].v"));
}

}  // namespace
}  // namespace taskd::client
