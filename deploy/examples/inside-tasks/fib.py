"""The slowest way to a Fibonacci number: a task for each call."""

import taskd


def fib(n):
    if n < 2:
        return n
    return sum(taskd.get([taskd.spawn(fib, n - 1), taskd.spawn(fib, n - 2)]))


def text(n):
    return str(fib(int(n))).encode()
