# ptxas -v as a table: architecture, registers, static shared memory, spilled bytes, stack bytes, kernel (mangled).
/Compiling entry function/ {
  split($0, part, "'"); kernel = part[2]; architecture = part[4]
}
/bytes stack frame/ {
  match($0, /[0-9]+ bytes stack frame/); stack = substr($0, RSTART) + 0
  match($0, /[0-9]+ bytes spill stores/); spilled = substr($0, RSTART) + 0
}
/Used [0-9]+ registers/ {
  match($0, /Used [0-9]+/); registers = substr($0, RSTART + 5, RLENGTH - 5)
  shared = 0
  if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART) + 0
  print architecture, registers, shared, spilled, stack, kernel
}
