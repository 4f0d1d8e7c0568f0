# kisim_embed(TARGET FILE …): puts text files into TARGET. FILE a/b-c.yaml becomes
#   extern const std::string_view kisim::embedded::b_c_yaml;
function(kisim_embed target)
  foreach(file ${ARGN})
    get_filename_component(file ${file} ABSOLUTE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME)
    string(MAKE_C_IDENTIFIER ${name} KISIM_EMBED_NAME)
    file(READ ${file} KISIM_EMBED_TEXT)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded/${name}.cpp)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/embedded.cpp.in ${source} @ONLY)
    target_sources(${target} PRIVATE ${source})
  endforeach()
endfunction()
