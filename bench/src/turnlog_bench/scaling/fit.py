"""Least squares: what a thing costs at rest, and what each more of something adds. Pure.

For `y = a + b·sessions + c·turns` and the like: the normal equations, solved by Gauss with pivots. Columns are scaled
first, so that counts of millions beside ones do not cost digits.
"""

from collections.abc import Sequence


def least_squares(rows: Sequence[Sequence[float]], ys: Sequence[float]) -> list[float]:
    """The intercept, then a slope for each column of `rows`, with the least sum of squared differences to `ys`.

    Raises ValueError when there are fewer points than unknowns, or the columns do not tell them apart.
    """
    if len(rows) != len(ys) or not rows or len(rows) < len(rows[0]) + 1:
        raise ValueError(f"{len(rows)} points are too few to fit")
    scales = [max(abs(row[column]) for row in rows) or 1.0 for column in range(len(rows[0]))]
    matrix = [[1.0, *(value / scale for value, scale in zip(row, scales, strict=True))] for row in rows]
    size = len(matrix[0])
    normal = [
        [sum(row[i] * row[j] for row in matrix) for j in range(size)]
        + [sum(row[i] * y for row, y in zip(matrix, ys, strict=True))]
        for i in range(size)
    ]
    solved = _solved(normal)
    return [solved[0], *(slope / scale for slope, scale in zip(solved[1:], scales, strict=True))]


def _solved(system: list[list[float]]) -> list[float]:
    """x of A·x = b, given as rows of A with b behind them."""
    size = len(system)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(system[row][column]))
        if abs(system[pivot][column]) < 1e-9:
            raise ValueError("the points do not tell the slopes apart")
        system[column], system[pivot] = system[pivot], system[column]
        for row in range(size):
            if row != column:
                factor = system[row][column] / system[column][column]
                system[row] = [a - factor * b for a, b in zip(system[row], system[column], strict=True)]
    return [row[size] / row[column] for column, row in enumerate(system)]
