#include "worker/shell/values.h"

#include <gtest/gtest.h>

#include "common/base/crc32c.h"
#include "taskd/v1/worker_session.pb.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/store/store.h"

namespace taskd::worker {
namespace {

uint32_t CrcOf(const std::string& bytes) { return ExtendCrc32c(0, bytes.data(), bytes.size()); }
LocalKey Key(Ordinal object, AttemptId version = 3) { return {{{1, object}, version}, {}}; }

class ValuesTest : public testing::Test {
 protected:
  // The answer for each item.
  std::vector<FetchStatus> Put(std::shared_ptr<const Values> values, std::vector<LocalKey> keys) {
    action::PutValues action{7, std::move(values), {keys.begin(), keys.end()}};
    event::FetchDone done = PutInStore(action, store_);
    EXPECT_EQ(done.fetch, 7u);
    std::vector<FetchStatus> statuses;
    for (const auto& item : done.items) statuses.push_back(item.status);
    return statuses;
  }
  std::string Stored(const LocalKey& key) { return store_.SmallValue(key); }

  TempDir dir_;
  Store store_{{dir_.path()}, [](ObjectVersion) {}};
};

TEST_F(ValuesTest, GoToTheStoreWhenTheirChecksumFits) {
  auto values = std::make_shared<Values>();
  values->Add(Key(1).id, {"one", CrcOf("one")});
  values->Add(Key(2).id, {"two", CrcOf("two") + 1});
  using enum FetchStatus;
  EXPECT_EQ(Put(values, {Key(1), Key(2), Key(3)}),
            (std::vector{kOk, kIoError, kIoError}));  // of the third nothing came
  EXPECT_EQ(Stored(Key(1)), "one");
  EXPECT_FALSE(store_.Contains(Key(2)));
  EXPECT_FALSE(store_.Contains(Key(3)));
  EXPECT_EQ(Put(nullptr, {Key(4)}), std::vector{kOk});
  EXPECT_EQ(store_.SizeOf(Key(4)), 0u);
}

TEST_F(ValuesTest, AnswerWhatTheCoreIsToKnow) {
  auto values = std::make_shared<Values>();
  values->Add(Key(1).id, {"one", CrcOf("one")});
  const event::FetchDone done = PutInStore({7, values, {Key(1)}}, store_);
  EXPECT_EQ(done.items.at(0).size_bytes, 3u);
  EXPECT_EQ(done.items.at(0).crc32c, CrcOf("one"));
  EXPECT_FALSE(done.items.at(0).on_disk);
}

TEST_F(ValuesTest, OfOutputsRideWhenTheyAreSmallAndWhole) {
  const std::string limit(limits::kInlineBytes, 'x'), above = limit + "x";
  Outcome outcome;
  outcome.attempt = {{1, 2}, 3};
  outcome.first_output = 10;
  auto put = [&](Ordinal i, const std::string& bytes, std::vector<uint64_t> ends = {}) {
    ASSERT_TRUE(store_.Put(Key(10 + i), bytes, ends).ok());
    outcome.outputs.push_back({bytes.size(), CrcOf(bytes)});
  };
  put(0, "small");
  put(1, limit);
  put(2, above);
  put(3, "");
  put(4, "parts", {2, 5});
  outcome.outputs.push_back({.size_bytes = 5, .delegated = 1});
  put(6, "gone");
  store_.Drop(Key(16));
  EXPECT_EQ(ValuesOf(outcome, store_),
            (std::vector<std::string>{"small", limit, "", "", "", "", ""}));
  outcome.end = AttemptEnd::kFailed;
  EXPECT_TRUE(ValuesOf(outcome, store_).empty());
}

TEST_F(ValuesTest, OfNoOpsAreNoList) {
  Outcome outcome;
  outcome.outputs.push_back({});
  EXPECT_TRUE(ValuesOf(outcome, store_).empty());
}

class TakeValuesTest : public testing::Test {
 protected:
  TakeValuesTest() {
    for (Ordinal i = 0; i < 3; ++i) event_.assignment.objects.push_back({Key(i).id, 3});
  }
  void Add(uint32_t at, const std::string& bytes) {
    from_.add_value_at(at);
    from_.add_value(bytes);
    from_.add_value_crc32c(CrcOf(bytes));
  }
  event::Assign event_;
  v1::Assignment from_;
};

TEST_F(TakeValuesTest, NameTheirObjects) {
  Add(0, "one");
  Add(2, "two");
  ASSERT_TRUE(TakeValues(from_, event_).ok());
  EXPECT_EQ(event_.valued, (std::vector<uint32_t>{0, 2}));
  ASSERT_NE(event_.values, nullptr);
  EXPECT_EQ(event_.values->Find(Key(2).id)->bytes, "two");
  EXPECT_EQ(event_.values->Find(Key(2).id)->crc32c, CrcOf("two"));
  EXPECT_EQ(event_.values->Find(Key(1).id), nullptr);
}

TEST_F(TakeValuesTest, NoneIsNothing) {
  ASSERT_TRUE(TakeValues(from_, event_).ok());
  EXPECT_EQ(event_.values, nullptr);
}

TEST_F(TakeValuesTest, RefuseNonsense) {
  Add(3, "of no object");
  EXPECT_FALSE(TakeValues(from_, event_).ok());
  from_.Clear(), event_.valued.clear();
  Add(1, "one");
  Add(1, "again");
  EXPECT_FALSE(TakeValues(from_, event_).ok());
  from_.Clear(), event_.valued.clear();
  Add(1, "one");
  from_.add_value_at(2);
  EXPECT_FALSE(TakeValues(from_, event_).ok());
}

}  // namespace
}  // namespace taskd::worker
