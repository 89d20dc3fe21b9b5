"""The search for the fastest shape under a budget: space, cost model, quality proxy, Pareto front."""

from phonelm.search.conventional import deep_and_thin
from phonelm.search.cost import Costs, Request, price
from phonelm.search.design import Candidate, Design, FrontPoint, predict
from phonelm.search.front import pareto_front
from phonelm.search.search import SearchConfig, search
from phonelm.search.space import Range, Shapes, SpaceConfig, enumerate_shapes, shapes_of

__all__ = [
    "Candidate",
    "Costs",
    "Design",
    "FrontPoint",
    "Range",
    "Request",
    "SearchConfig",
    "Shapes",
    "SpaceConfig",
    "deep_and_thin",
    "enumerate_shapes",
    "pareto_front",
    "predict",
    "price",
    "search",
    "shapes_of",
]
