"""Mutations of what makes curves and attribution cost little beside their forwards."""

from mutations import GRID, RANKING, Mutation

INTEGRATE = "src/diptych/attribution/_integrate.py"
INTERVENTIONS = "src/diptych/interventions.py"
SITE = "src/diptych/models/site.py"
PLAIN = "tests/test_plain_path.py::"

FLOOR_MUTATIONS: tuple[Mutation, ...] = (
    (
        GRID,
        "        for size in sizes:\n",
        "        for size in sorted(sizes):\n",
        "tests/test_grid.py::test_circuits_of_several_sizes_are_those_of_each_size_alone",
    ),
    (
        RANKING,
        "self.head[-rank]",
        "self.head[1 - rank]",
        "tests/test_nodes_there.py::test_the_top_of_many_scores_is_that_of_a_sort[0.001-few ties]",
    ),
    (
        INTEGRATE,
        "torch.tensor(rows, device=totals.device)",
        "torch.arange(len(rows), device=totals.device)",
        "tests/test_attribution.py::test_only_prompts_that_are_not_complete_are_refined",
    ),
    (
        INTEGRATE,
        "_reduce(products, reduction).mean(0)",
        "_reduce(products, reduction)[0]",
        PLAIN + "test_scores_are_those_of_a_plain_loop[qwen2_vl-sdpa]",
    ),
    (
        INTERVENTIONS,
        "by_circuit, inside)",
        "by_circuit.flip(0), inside)",
        PLAIN + "test_a_curve_is_that_of_a_plain_loop[llava-eager]",
    ),
)
