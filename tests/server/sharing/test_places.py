from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mimo_edge.server.sharing.places import GivenUp, LineFull, Places


def never() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def pause() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(test(), 30)

    asyncio.run(bounded())


def test_who_came_first_is_first() -> None:
    async def test() -> None:
        places, order = Places(lambda: 1, 10), list[int]()

        async def caller(number: int) -> None:
            async with places.place(never()):
                order.append(number)
                await pause()

        async with places.place(never()):
            callers = [asyncio.create_task(caller(number)) for number in range(5)]
            await pause()
            assert places.waiting == 5
            assert not places.free
        # Whoever comes just now, when a place is free, still stands behind the others.
        await asyncio.gather(*callers, caller(5))
        assert order == [0, 1, 2, 3, 4, 5]
        assert (places.taken, places.waiting) == (0, 0)

    run(test)


def test_a_full_line_takes_nobody() -> None:
    async def test() -> None:
        places = Places(lambda: 1, 1)
        async with places.place(never()):
            waiting = asyncio.create_task(places.place(never()).__aenter__())
            await pause()
            with pytest.raises(LineFull):
                async with places.place(never()):
                    raise AssertionError("there was no place")
            waiting.cancel()
            await pause()
            assert (places.taken, places.waiting) == (1, 0)

    run(test)


@pytest.mark.parametrize("way", ["gives up", "is cancelled", "is cancelled when its turn came"])
def test_who_leaves_the_line_blocks_nobody(way: str) -> None:
    async def test() -> None:
        places, left = Places(lambda: 1, 10), never()

        async def leaves() -> None:
            async with places.place(left):
                await asyncio.sleep(3600)

        async def stays() -> str:
            async with places.place(never()):
                return "served"

        async with places.place(never()):
            leaving, staying = asyncio.create_task(leaves()), asyncio.create_task(stays())
            await pause()
            if way == "gives up":
                left.set_result(None)
                with pytest.raises(GivenUp):
                    await leaving
            elif way == "is cancelled":
                leaving.cancel()
        if way == "is cancelled when its turn came":
            leaving.cancel()
        assert await staying == "served"
        assert (places.taken, places.waiting) == (0, 0)

    run(test)


def test_more_places_are_given_when_they_are_there() -> None:
    async def test() -> None:
        count = 1
        places = Places(lambda: count, 10)
        async with places.place(never()):
            second = asyncio.create_task(places.place(never()).__aenter__())
            await pause()
            assert not second.done()
            count = 2
            places.call_next()
            await second
            assert places.taken == 2

    run(test)
