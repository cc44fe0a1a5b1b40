"""Runs requests that come at about the same time as one, their tensors joined along the first dimension."""

import asyncio
import collections
import concurrent.futures

import numpy


class NoBatch(RuntimeError):
    """The model's results do not have a row for each row that it was given."""


class _Request:
    def __init__(self, inputs, rows, key, outputs, deadline):
        self.inputs, self.rows, self.key = inputs, rows, key
        self.outputs, self.deadline = outputs, deadline


class Batcher:
    """Answers requests by run(inputs), each a dict of arrays by name.

    While `concurrency` runs are under way, requests wait. Then the oldest goes, with those after it that have the same
    inputs, dtypes and shapes (but for the first dimension), up to `max_rows` rows. Where there are fewer, it waits for
    others until it is `delay` seconds old. max_rows 0: each request by itself. `observe` is told the rows of each run.
    """

    def __init__(self, run, max_rows=0, delay=0.0, concurrency=1, observe=lambda rows: None):
        self._run, self._max_rows, self._delay, self._observe = run, max_rows, delay, observe
        self._pending = collections.deque()
        self._threads = concurrent.futures.ThreadPoolExecutor(concurrency)
        self._free = asyncio.Semaphore(concurrency)
        self._came = asyncio.Event()
        self._tasks = set()  # the event loop itself holds tasks weakly
        self._dispatcher = None

    async def __call__(self, inputs):
        loop = asyncio.get_running_loop()
        rows = next(iter(inputs.values())).shape[0] if self._max_rows and inputs else 1
        key = tuple(
            sorted((name, value.dtype.str, value.shape[1:]) for name, value in inputs.items())
        )
        request = _Request(inputs, rows, key, loop.create_future(), loop.time() + self._delay)
        self._pending.append(request)
        self._came.set()
        if self._dispatcher is None:
            self._dispatcher = self._start(self._dispatch())
        return await request.outputs

    def _start(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _dispatch(self):
        try:
            while self._pending:
                await self._free.acquire()
                await self._wait_for_others()
                self._start(self._serve(self._take()))
        finally:
            self._dispatcher = None

    def _mates(self):
        """The oldest request and those that run with it."""
        chosen, rows = [], 0
        for request in self._pending:
            if chosen and (request.key != chosen[0].key or rows + request.rows > self._max_rows):
                continue
            chosen.append(request)
            rows += request.rows
            if rows >= self._max_rows:
                break
        return chosen, rows

    async def _wait_for_others(self):
        loop = asyncio.get_running_loop()
        while self._mates()[1] < self._max_rows:
            left = self._pending[0].deadline - loop.time()
            if left <= 0:
                return
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), left)
            except TimeoutError:
                return

    def _take(self):
        chosen, _ = self._mates()
        kept = [request for request in self._pending if request not in chosen]
        self._pending = collections.deque(kept)
        # A caller may have gone.
        return [request for request in chosen if not request.outputs.done()]

    async def _serve(self, requests):
        try:
            if len(requests) > 1:
                try:
                    await self._together(requests)
                    return
                except NoBatch as error:
                    for request in requests:
                        if not request.outputs.done():
                            request.outputs.set_exception(error)
                    return
                except Exception:
                    pass  # one of them is at fault; alone, each gets its own answer
            for request in requests:
                await self._alone(request)
        finally:
            self._free.release()

    async def _alone(self, request):
        try:
            outputs = await self._in_thread(request.inputs, request.rows)
        except Exception as error:
            if not request.outputs.done():
                request.outputs.set_exception(error)
            return
        if not request.outputs.done():
            request.outputs.set_result(outputs)

    async def _together(self, requests):
        rows = sum(request.rows for request in requests)
        names = requests[0].inputs
        joined = {name: numpy.concatenate([r.inputs[name] for r in requests]) for name in names}
        outputs = await self._in_thread(joined, rows)
        for name, value in outputs.items():
            if value.ndim == 0 or value.shape[0] != rows:
                raise NoBatch(
                    f"output '{name}' has shape {value.shape} for {rows} rows: requests cannot be batched"
                )
        begin = 0
        for request in requests:
            part = {name: value[begin : begin + request.rows] for name, value in outputs.items()}
            begin += request.rows
            if not request.outputs.done():
                request.outputs.set_result(part)

    async def _in_thread(self, inputs, rows):
        self._observe(rows)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, inputs)
