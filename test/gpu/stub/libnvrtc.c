// A library by the name of the run-time compiler that has none of its functions.
int graft_stub_of_nvrtc;
