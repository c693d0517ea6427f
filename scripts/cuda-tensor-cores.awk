# Of PTX: a kernel whose name ends in _mma claims tensor cores, and must have their instructions, the loads that feed
# them and asynchronous copies; others must have none. Prints how many of each there are, fails on a wrong claim.
/^\.target/ { architecture = $2; sub(/,.*/, "", architecture) }
/\.entry/ {
  name = $0; sub(/.*\.entry /, "", name); sub(/\(.*/, "", name)
  kernel = architecture " " name
  kernels[kernel] = name ~ /_mmaI|_mmaE/
}
/mma\.sync/ { products[kernel]++ }
/ldmatrix\.sync/ { loads[kernel]++ }
/cp\.async\.cg/ { copies[kernel]++ }
END {
  for (kernel in kernels) {
    claims = kernels[kernel]; count += claims
    if (claims ? products[kernel] && loads[kernel] && copies[kernel] : !products[kernel]) continue
    printf "%s %s tensor cores, and has %d mma.sync, %d ldmatrix, %d cp.async\n", kernel,
           claims ? "claims" : "does not claim", products[kernel], loads[kernel], copies[kernel]
    wrong = 1
  }
  for (kernel in products) { all += products[kernel] }
  if (!wrong) printf "%d kernels use tensor cores, all that claim it: %d mma.sync\n", count, all
  exit wrong
}
