// One line of text, and one hash, for everything that enters or leaves a core.
#ifndef TASKD_TESTS_SIM_DESCRIBE_H_
#define TASKD_TESTS_SIM_DESCRIBE_H_

#include <cstdint>
#include <string>

#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"
#include "worker/core/actions.h"
#include "worker/core/events.h"

namespace taskd::sim {

std::string Describe(const scheduler::Event& event);
std::string Describe(const scheduler::Action& action);
std::string Describe(const worker::Event& event);
std::string Describe(const worker::Action& action);

// Of every field.
uint64_t HashOf(uint64_t seed, const scheduler::Action& action);
uint64_t HashOf(uint64_t seed, const worker::Action& action);

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_DESCRIBE_H_
