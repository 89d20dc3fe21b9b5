"""The search for the fastest shape under a budget: space, cost model, quality, Pareto front, verification."""

from phonelm.search.config import SearchConfig
from phonelm.search.conventional import conventional_shapes
from phonelm.search.cost import Costs, Request, price
from phonelm.search.design import Candidate, Conventional, Design, FrontPoint, predict
from phonelm.search.front import pareto_front
from phonelm.search.search import search
from phonelm.search.space import Range, Shapes, SpaceConfig, enumerate_shapes, shapes_of
from phonelm.search.space_file import load_space
from phonelm.search.verification import Agreement, Verification, Verified
from phonelm.search.verifier import check_machine, verify

__all__ = [
    "Agreement",
    "Candidate",
    "Conventional",
    "Costs",
    "Design",
    "FrontPoint",
    "Range",
    "Request",
    "SearchConfig",
    "Shapes",
    "SpaceConfig",
    "Verification",
    "Verified",
    "check_machine",
    "conventional_shapes",
    "enumerate_shapes",
    "load_space",
    "pareto_front",
    "predict",
    "price",
    "search",
    "shapes_of",
    "verify",
]
