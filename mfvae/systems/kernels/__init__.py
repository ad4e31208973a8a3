"""Compiled samplers: the only place that knows of vector lanes, Numba and LLVM.

*How a kernel works.* Sixteen Markov chains run side by side, one in each lane of a vector register.
`lanes` teaches Numba two types, sixteen float32 and sixteen uint32, with the usual operators,
comparisons and `select` in place of branches; a scalar beside lanes stands for sixteen copies. A
kernel loads lanes from flat arrays, combines them and stores them again:

    @compiled
    def shifted(x, state, out):  # out = x + a uniform number, lane by lane
        s = load_state(state)
        for place in range(0, len(x), LANES):
            words, s = next_words(s)
            store(out, place, load(x, place) + uniforms(words))
        store_state(state, s)

Where chains cannot be vectorised (clusters, eigenvectors, Gibbs sweeps) a kernel is plain Numba
with the scalar generator. `random` holds both: a state is an array that belongs to a chain and
comes from a ``SeedSequence``, so that the bits depend on the seed alone. `running` compiles kernels
and runs blocks of chains in plain threads.

*What depends on Numba's insides* (tried with 0.60 to 0.62): the vector types of `lanes`
(``PrimitiveModel``, ``intrinsic``, ``infer_global``), and the stamp of the cache on disk in
`running.compiled`: an edit of any file here recompiles every kernel.

*A new kernel* gets a file named after its model, `@compiled` on what Python calls, `@inlined` on
what kernels are built of, and a plain NumPy twin under ``tests/systems/kernels``. No index is
checked: try it with ``NUMBA_DISABLE_JIT=1`` where it uses no lanes, and with odd lengths.
"""
