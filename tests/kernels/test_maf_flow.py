"""The flow against nflows, against finite differences, and against what its masks promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.scoring._flow import Flow, FlowFunction, Work, log_prob_terms
from kernels.scoring._flow_masks import hidden_degrees

nflows = pytest.importorskip("nflows.flows")


@pytest.fixture(autouse=True)
def _one_core():
    """Small products wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _reference(features: int, hidden: int, layers: int = 3, residual: bool = True) -> torch.nn.Module:
    torch.manual_seed(0)
    flow = nflows.MaskedAutoregressiveFlow(features, hidden, layers, 2, use_residual_blocks=residual).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return flow


def _log_prob(flow: Flow, x: torch.Tensor) -> torch.Tensor:
    work = Work(flow, len(x), backward=False)
    work.x[0].copy_(x.T[None])
    base, logdet = log_prob_terms(*flow.forward(work))
    return (base + logdet)[0]


@pytest.mark.parametrize("step", [16, 1000])
@pytest.mark.parametrize(
    ("features", "hidden", "residual"),
    [(7, 16, True), (20, 8, True), (130, 200, True), (1, 8, True), (2, 5, True), (9, 16, False)],
)
def test_log_likelihood_and_gradients_equal_nflows(features: int, hidden: int, residual: bool, step: int) -> None:
    from kernels.scoring._flow_nflows import from_nflows

    reference = _reference(features, hidden, residual=residual)
    flow = from_nflows(reference, torch.float64, step=step)
    x = torch.randn(11, features, dtype=torch.float64)
    there = x.clone().requires_grad_()
    expected = reference.log_prob(there)
    np.testing.assert_allclose(_log_prob(flow, x), expected.detach(), atol=1e-5, rtol=0)
    expected.mean().backward()

    here = x.T[None].clone().requires_grad_()
    params = flow.params.clone().requires_grad_()
    z, logdet = FlowFunction.apply(flow, params, here)
    (logdet - 0.5 * (z**2).sum(dim=1)).mean().backward()
    np.testing.assert_allclose(here.grad[0].T, there.grad, atol=1e-10)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(parameter.grad)
    np.testing.assert_allclose(params.grad, from_nflows(reference, torch.float64, step=step).params, atol=1e-10)


def test_gradients_of_stacked_bounded_flows_are_finite_differences() -> None:
    rng = [np.random.default_rng(i) for i in range(2)]
    flow = Flow(6, 9, 3, 2, members=2, dtype=torch.float64, step=4).initialise(rng)
    flow.params += (flow.params != 0) * 0.3 * torch.randn_like(flow.params)
    x = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: FlowFunction.apply(flow, flow.params, x), (x,))
    params, before = flow.params.clone().requires_grad_(), flow.params.clone()

    def value() -> torch.Tensor:
        z, logdet = FlowFunction.apply(flow, params, x.detach())
        return (z * torch.arange(5)).sum() + (logdet**2).sum()

    value().backward()
    places = [(m, int(p)) for m in range(2) for p in np.flatnonzero(before[m])[::97]]
    for place in places:
        change = []
        for sign in (1, -1):
            flow.params.copy_(before)
            flow.params[place] += sign * 1e-5
            change.append(float(value().detach()))
        assert (change[0] - change[1]) / 2e-5 == pytest.approx(float(params.grad[place]), rel=1e-4, abs=1e-5)
        flow.params.copy_(before)
    for _, linear in flow.linears():
        for s in linear.steps:
            if s.mask is not None:
                made = flow.weight(s, params.grad)[:, :, s.p0 - s.c0 : s.p1 - s.c0]
                assert (made[:, s.mask == 0] == 0).all(), "a weight that does not exist has a gradient"


def test_a_stack_equals_its_members_one_by_one() -> None:
    make = {"features": 10, "hidden": 24, "layers": 2, "step": 8}
    both = Flow(members=2, **make).initialise([np.random.default_rng(i) for i in range(2)])
    x = torch.randn(2, 10, 6)
    z, logdet = FlowFunction.apply(both, both.params, x)
    for i in range(2):
        alone = Flow(members=1, **make).initialise([np.random.default_rng(i)])
        z_i, logdet_i = FlowFunction.apply(alone, alone.params, x[i : i + 1])
        np.testing.assert_allclose(z[i], z_i[0], atol=1e-6)
        np.testing.assert_allclose(logdet[i], logdet_i[0], atol=1e-6)


@pytest.mark.parametrize("hidden", [64, 128, 256, 512])
def test_every_input_conditions_something_at_any_width(hidden: int) -> None:
    features = 768
    flow = Flow(features, hidden, layers=1, blocks=1).initialise([np.random.default_rng(0)])
    flow.params += (flow.params != 0) * 0.05 * torch.randn_like(flow.params)
    # the layer counts its inputs from the last: the first and the last to be conditioned, and one in four between
    x = torch.randn(1, features, 4)
    jacobian = np.zeros((features, features), bool)
    for j in range(0, features, 4):
        moved = x.clone()
        moved[:, j] += 0.5
        before, after = (FlowFunction.apply(flow, flow.params, v)[0] for v in (x, moved))
        jacobian[:, j] = (before != after).any(dim=2)[0]
    asked = np.arange(0, features, 4)
    jacobian[asked, asked] = False
    reach = jacobian[:, asked].any(axis=0)
    assert reach[1:].all(), f"inputs that nothing depends on: {asked[~reach]}"
    later, earlier = np.tril(jacobian, -1)[:, asked], np.triu(jacobian, 1)[:, asked]
    assert not later.any(), "an output depends on an input that comes after it"
    assert earlier.sum() >= 0.97 * sum(asked)


def test_degrees_of_nflows_wire_only_the_first_inputs() -> None:
    assert hidden_degrees(64, 768, "nflows").max() == 64
    assert hidden_degrees(64, 768, "spread").max() == 767
    assert hidden_degrees(64, 768, "spread").min() == 1
    with pytest.raises(ValueError, match="spread, nflows"):
        hidden_degrees(64, 768, "random")


def test_the_bounded_scale_is_finite_where_softplus_is_not() -> None:
    rng = np.random.default_rng(0)
    x = 1000 * torch.randn(20, 100)
    found = {}
    for scale in ("bounded", "softplus"):
        flow = Flow(100, 64, 5, 2, scale=scale).initialise([rng])
        flow.params += (flow.params != 0) * 0.05 * torch.randn_like(flow.params)
        found[scale] = torch.isfinite(_log_prob(flow, x)).all().item()
    assert found == {"bounded": True, "softplus": False}
