# One target per folder; what a folder may see is what its target links to.

# kisim_room(NAME [DEPENDS …]): the library of sim/NAME, from every .cpp in it (or of headers alone).
function(kisim_room name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  if(sources)
    add_library(kisim_${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(kisim_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(kisim_${name} ${scope} ${PROJECT_SOURCE_DIR}/sim)
  list(TRANSFORM ARG_DEPENDS PREPEND kisim_)
  target_link_libraries(kisim_${name} ${scope} ${ARG_DEPENDS} ${ARG_LIBRARIES})
endfunction()

# kisim_policies(ROLE …): policies/ROLE as OBJECT libraries, so that self-registering objects are always linked.
# Link KISIM_POLICIES into every executable.
function(kisim_policies)
  foreach(role ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${role}/*.cpp)
    if(sources)
      add_library(kisim_policies_${role} OBJECT ${sources})
      target_link_libraries(kisim_policies_${role} PUBLIC kisim_policy)
      list(APPEND targets kisim_policies_${role})
    endif()
  endforeach()
  set_property(GLOBAL PROPERTY KISIM_POLICIES "${targets}")
endfunction()
