# CUDA to C++ for test/cudasim, for sed -zE (a file is one line); lines stay where they are.
# kernel<<<grid, block, ...>>>(x)  ->  cudasim_bind("kernel", kernel, grid, block, ...)(x)
s/([A-Za-z_][A-Za-z0-9_]*)(<[^<>;(){}]*>)?([[:space:]]*)<<</cudasim_bind("\1", \1\2,\3 /g
s/>>>/)/g
# extern __shared__ float x[];  ->  float *x = (float *)cudasim_dynamic_shared();
s/extern[[:space:]]+__shared__[[:space:]]+((__align__|alignas)\([0-9]+\)[[:space:]]+)?([A-Za-z_][A-Za-z0-9_ ]*[A-Za-z0-9_])[[:space:]]+([A-Za-z_][A-Za-z0-9_]*)\[\];/\3 *\4 = (\3 *)cudasim_dynamic_shared();/g
# __shared__ float x[2][3];  ->  static CudasimShared<float[2][3]> x_shared; auto &x = x_shared.enter();
s/__shared__[[:space:]]+((__align__|alignas)\([0-9]+\)[[:space:]]+)?([A-Za-z_][A-Za-z0-9_<> ]*[A-Za-z0-9_>])[[:space:]]+([A-Za-z_][A-Za-z0-9_]*)[[:space:]]*((\[[^];]*\])*);/static CudasimShared<\3\5> \4_shared; auto \&\4 = \4_shared.enter();/g
