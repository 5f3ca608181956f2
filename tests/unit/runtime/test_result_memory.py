"""Memory of dead results serves the model's next ones; that of living ones is nobody else's."""

import io
import threading

import torch

import unmoor


def model():
    file = io.BytesIO()
    unmoor.save(unmoor.trace(lambda x: x + 1, torch.ones(3)), file, check=False)
    return unmoor.load(file.getvalue(), trust=True)


def test_a_large_result_takes_the_memory_of_a_dead_one():
    add = model()
    x = torch.zeros(1 << 20)
    first = add(x)
    place = first.data_ptr()
    second = add(x)
    assert second.data_ptr() != place and bool((first == 1).all())
    del first
    again = add(x + 1)
    assert again.data_ptr() == place
    assert bool((again == 2).all()) and bool((second == 1).all())


def test_results_outlive_their_model():
    add = model()
    results = [add(torch.full((1 << 19,), float(k))) for k in range(5)]
    views = [r[5:] for r in results]
    del add, results
    assert [float(v[0]) for v in views] == [1, 2, 3, 4, 5]
    del views


def test_results_die_in_other_threads():
    add = model()
    wrong = []

    def work(k):
        for _ in range(20):
            result = add(torch.full((1 << 19,), float(k)))
            if not bool((result == k + 1).all()):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
