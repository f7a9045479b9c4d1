// A TCP relay before a peer that cuts connections after so many bytes of the peer's, and may be slow.
#ifndef TASKD_TESTS_UNIT_WORKER_DATA_CUTTING_RELAY_H_
#define TASKD_TESTS_UNIT_WORKER_DATA_CUTTING_RELAY_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "common/base/check.h"

namespace taskd::worker {

class CuttingRelay {
 public:
  // The first connection is cut after `cut_after[0]` bytes, the second after `cut_after[1]` ...;
  // later ones never. `bytes_per_s`: of the peer's; 0: as many as there are.
  CuttingRelay(const std::string& target, std::vector<uint64_t> cut_after, uint64_t bytes_per_s = 0)
      : bytes_per_s_(bytes_per_s),
        port_(static_cast<uint16_t>(std::stoi(target.substr(target.rfind(':') + 1)))),
        cut_after_(std::move(cut_after)) {
    sockaddr_in at = Loopback(0);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    TASKD_CHECK(bind(listener_, address, size) == 0 && listen(listener_, 8) == 0);
    TASKD_CHECK(getsockname(listener_, address, &size) == 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
    thread_ = std::thread([this] { Run(); });
  }
  ~CuttingRelay() {
    stopping_ = true;
    thread_.join();
    close(listener_);
  }
  const std::string& address() const { return address_; }

 private:
  static sockaddr_in Loopback(uint16_t port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  // One connection at a time: a channel has one.
  void Run() {
    for (size_t n = 0; !stopping_;) {
      if (!Ready(listener_)) continue;
      const int near = accept(listener_, nullptr, nullptr);
      const int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in at = Loopback(port_);
      TASKD_CHECK(connect(far, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
      Relay(near, far, n < cut_after_.size() ? cut_after_[n] : UINT64_MAX);
      ++n;
      close(near);
      close(far);
    }
  }

  void Relay(int near, int far, uint64_t left) {
    while (!stopping_) {
      pollfd ends[] = {{near, POLLIN, 0}, {far, POLLIN, 0}};
      if (poll(ends, 2, 20) <= 0) continue;
      if (ends[0].revents != 0 && Move(near, far) == 0) return;
      if (ends[1].revents == 0) continue;
      const uint64_t moved = Move(far, near);
      if (moved == 0) return;
      if (moved >= left) return End(near);
      if (bytes_per_s_ > 0)
        std::this_thread::sleep_for(std::chrono::nanoseconds(moved * 1'000'000'000 / bytes_per_s_));
      left -= moved;
    }
  }

  // What was relayed arrives: a socket that is closed with unread bytes would take it back.
  void End(int near) {
    shutdown(near, SHUT_WR);
    char buffer[65536];
    while (!stopping_) {
      if (Ready(near) && read(near, buffer, sizeof buffer) <= 0) return;
    }
  }

  static bool Ready(int fd) {
    pollfd end = {fd, POLLIN, 0};
    return poll(&end, 1, 20) > 0;
  }

  // 0: this side has ended.
  static uint64_t Move(int from, int to) {
    char buffer[65536];
    const ssize_t n = read(from, buffer, sizeof buffer);
    for (ssize_t sent = 0; sent < n;) {
      const ssize_t put = send(to, buffer + sent, static_cast<size_t>(n - sent), MSG_NOSIGNAL);
      if (put <= 0) return 0;
      sent += put;
    }
    return n > 0 ? static_cast<uint64_t>(n) : 0;
  }

  const uint64_t bytes_per_s_;
  const uint16_t port_;
  const std::vector<uint64_t> cut_after_;
  const int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string address_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace taskd::worker

#endif  // TASKD_TESTS_UNIT_WORKER_DATA_CUTTING_RELAY_H_
