# The C library, static and shared, and the program on top of it.
file(GLOB capi_sources CONFIGURE_DEPENDS capi/*.cpp)
file(GLOB tool_sources CONFIGURE_DEPENDS tools/*.cpp)
# GCC 12 takes two texts that are joined for overlapping ones (bug 105651).
list(APPEND warnings $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)

function(phonelm_library name kind)
  add_library(${name} ${kind} ${capi_sources} $<TARGET_OBJECTS:phonelm_core>)
  target_include_directories(${name} PUBLIC include PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE PHONELM_BUILD_VERSION="${PROJECT_VERSION}"
                             $<TARGET_PROPERTY:phonelm_core,INTERFACE_COMPILE_DEFINITIONS>)
  target_compile_options(${name} PRIVATE ${warnings})
  target_link_libraries(${name} PUBLIC Threads::Threads)
  set_target_properties(${name} PROPERTIES OUTPUT_NAME phonelm)
  install(TARGETS ${name})
endfunction()

phonelm_library(phonelm_static STATIC)
phonelm_library(phonelm_shared SHARED)
set_target_properties(phonelm_shared PROPERTIES VERSION ${PROJECT_VERSION}
                      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
if(NOT APPLE AND NOT PHONELM_SANITIZE)
  # The C++ library's templates would be seen outside too.
  set(symbols ${CMAKE_CURRENT_SOURCE_DIR}/capi/symbols.map)
  target_link_options(phonelm_shared PRIVATE -Wl,--version-script=${symbols} -Wl,--gc-sections)
  set_target_properties(phonelm_shared PROPERTIES LINK_DEPENDS ${symbols})
endif()
install(FILES include/phonelm.h TYPE INCLUDE)

add_executable(phonelm-cli ${tool_sources})
target_include_directories(phonelm-cli PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_options(phonelm-cli PRIVATE ${warnings})
target_link_libraries(phonelm-cli PRIVATE phonelm_static)
if(NOT APPLE)
  target_link_options(phonelm-cli PRIVATE -Wl,--gc-sections $<$<CONFIG:Release>:-s>)
endif()
if(PHONELM_STATIC)
  target_link_options(phonelm-cli PRIVATE -static)
endif()
install(TARGETS phonelm-cli)
