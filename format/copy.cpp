#include "format/copy.h"

namespace vitrail::format {

ContainerContents contents_of(const Container& file) {
  ContainerContents contents{
      .kind = file.kind(), .root = file.root(), .tensors = file.tensors(), .later = file.later()};
  for (std::size_t i = 0; i < contents.tensors.size(); ++i)
    contents.tensors[i].bytes = file.raw(file.tensors()[i]);
  return contents;
}

WriteResult copy_container(const std::filesystem::path& from, const std::filesystem::path& to) {
  const Container file = Container::open(from);
  return write_container(to, contents_of(file));
}

}  // namespace vitrail::format
