# oneDNN as Intel's wheels (onednn-cpu-gomp, onednn-devel-cpu-gomp) leave it in the Python environment GRAFT_VENV:
# headers in include/oneapi/dnnl, the library as lib/libdnnl.so.3. Only there: a system oneDNN may be another major
# version or another threading build. Defines OneDNN::dnnl.

find_path(OneDNN_INCLUDE_DIR oneapi/dnnl/dnnl.hpp PATHS ${GRAFT_VENV}/include NO_DEFAULT_PATH)
find_library(OneDNN_LIBRARY NAMES libdnnl.so.3 PATHS ${GRAFT_VENV}/lib NO_DEFAULT_PATH)
mark_as_advanced(OneDNN_INCLUDE_DIR OneDNN_LIBRARY)

if(OneDNN_INCLUDE_DIR)
  file(STRINGS ${OneDNN_INCLUDE_DIR}/oneapi/dnnl/dnnl_version.h OneDNN_VERSION
       REGEX "^#define DNNL_VERSION_(MAJOR|MINOR|PATCH) ")
  list(TRANSFORM OneDNN_VERSION REPLACE "[^0-9]+" "")
  list(JOIN OneDNN_VERSION "." OneDNN_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OneDNN REQUIRED_VARS OneDNN_LIBRARY OneDNN_INCLUDE_DIR
                                  VERSION_VAR OneDNN_VERSION)

if(OneDNN_FOUND AND NOT TARGET OneDNN::dnnl)
  add_library(OneDNN::dnnl SHARED IMPORTED)
  set_target_properties(OneDNN::dnnl PROPERTIES
    IMPORTED_LOCATION ${OneDNN_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${OneDNN_INCLUDE_DIR})
endif()
