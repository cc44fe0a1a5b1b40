# Makes a folder of installed libraries stand alone: `cmake -DFOLDER=… -DENVIRONMENT=… -P bundle.cmake`. Libraries come from the system or
# from lib/ of the environment.
#
# Copies in what they need beyond the C and C++ runtime, under names of our own (libgraft_tbb-….so): a process that also loads
# another build of the same library (TensorFlow, PyTorch, MKL) then gets both, each for its own. All find each other by $ORIGIN.
find_program(PATCHELF patchelf REQUIRED)

# Part of every Linux system, or loaded already by who loads us.
set(not_bundled [[^(ld-linux|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|tensorflow_framework|graft)\.so)]])

file(GLOB ours ${FOLDER}/*.so)
file(GET_RUNTIME_DEPENDENCIES LIBRARIES ${ours} DIRECTORIES ${ENVIRONMENT}/lib
     PRE_EXCLUDE_REGEXES ${not_bundled} RESOLVED_DEPENDENCIES_VAR needed)

set(renames)
foreach(library ${needed})
  get_filename_component(soname ${library} NAME)
  string(REGEX REPLACE "^lib([^.]+)\\..*$" "libgraft_\\1.so" private ${soname})
  file(COPY_FILE ${library} ${FOLDER}/${private})
  execute_process(COMMAND ${PATCHELF} --set-soname ${private} ${FOLDER}/${private} COMMAND_ERROR_IS_FATAL ANY)
  list(APPEND renames --replace-needed ${soname} ${private})
endforeach()

file(GLOB libraries ${FOLDER}/*.so)
foreach(library ${libraries})
  execute_process(COMMAND ${PATCHELF} ${renames} --set-rpath [[$ORIGIN]] ${library} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
